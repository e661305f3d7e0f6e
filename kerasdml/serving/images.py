"""Looking at the header of an encoded image before anybody decodes it.

One bad image fails the whole batch inside the graph, and a few kilobytes can claim
gigabytes of pixels, so client and server both look here first.
"""

import struct

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"

# 67 megapixels are 200 MB once decoded to RGB, more than most cameras take.
MAX_PIXELS = 2**26

# Start-of-frame markers hold the size. Of C0 to CF, these three are something else:
# Huffman tables, a reserved one and arithmetic conditioning.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
# Markers without a length, and 0, which is none. Decoders pass over them, and so would
# read on where a length taken from what follows does not lead: at another size.
_ALONE = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})


def check_image(data: bytes, max_pixels: int = MAX_PIXELS):
    """Refuses what cannot be a JPEG or PNG image of a decent size.

    Args:
        data: The encoded image.
        max_pixels: Largest height times width that may be decoded.

    Raises:
        ValueError: If `data` is empty, of another format, cut off before its size, or
            claims no pixels or more than `max_pixels`. The message is a predicate, to
            be put after the name of the image.
    """
    height, width = image_size(data)
    if not 0 < height * width <= max_pixels:
        raise ValueError(
            f"must have between 1 and {max_pixels} pixels. "
            f"Received: {height} x {width} (height x width)."
        )


def image_size(data: bytes) -> tuple[int, int]:
    """Height and width that the header of a JPEG or PNG image claims."""
    if data.startswith(PNG_START):
        return _png_size(data)
    if data.startswith(JPEG_START):
        return _jpeg_size(data)
    raise ValueError(
        "must be a JPEG or PNG image. Received: "
        + (f"{len(data)} bytes that start with {data[:8]!r}." if data else "no bytes.")
    )


def _png_size(data):
    # The signature, then a chunk: length, `IHDR`, width, height (PNG 1.2, section 11).
    if len(data) < 24 or data[12:16] != b"IHDR":
        raise ValueError("is a PNG file without its header. Received: a damaged file.")
    width, height = struct.unpack(">II", data[16:24])
    return height, width


def _jpeg_size(data):
    # Segments of a marker and a length until the frame (ITU T.81, annex B). Any number
    # of FF bytes may stand before a marker.
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _FRAMES:
            return struct.unpack(">HH", data[at + 5 : at + 9])
        elif marker == _START_OF_SCAN or marker in _ALONE:
            break
        else:
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    raise ValueError("is a JPEG file without its header. Received: a damaged file.")
