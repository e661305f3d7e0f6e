import io
import struct

import numpy as np
import pytest
from PIL import Image

from kerasdml.serving.images import check_image, image_size


def encoded(kind, size=(31, 17), mode="RGB", **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def png_header(width, height):
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)


# Huffman tables may stand before the frame; their marker, C4, is not a frame's.
TABLES = b"\xff\xc4\x00\x09" + b"\x01" * 7


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded("PNG"), id="png"),
        pytest.param(encoded("PNG", mode="L"), id="grey png"),
        pytest.param(encoded("PNG", mode="P"), id="palette png"),
        pytest.param(encoded("JPEG"), id="jpeg"),
        pytest.param(encoded("JPEG", mode="L"), id="grey jpeg"),
        pytest.param(encoded("JPEG", progressive=True), id="progressive jpeg"),
        pytest.param(b"\xff\xd8" + TABLES + encoded("JPEG")[2:], id="tables first"),
        pytest.param(encoded("JPEG", comment=b"\xff\xc0" * 99), id="a marker in text"),
        pytest.param(encoded("JPEG").replace(b"\xff\xdb", b"\xff\xff\xdb"), id="fill"),
    ],
)
def test_reads_height_and_width(data):
    assert image_size(data) == (17, 31)
    check_image(data)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "must be a JPEG or PNG image. Received: no bytes."),
        (b"not an image", "must be a JPEG or PNG image. Received: 12 bytes that start"),
        (encoded("GIF"), "must be a JPEG or PNG image. Received: .* start with b'GIF8"),
        (encoded("PNG")[:20], "PNG file without its header"),
        (encoded("PNG")[:8] + b"?" * 30, "PNG file without its header"),
        (encoded("JPEG")[:40], "JPEG file without its header"),
        (b"\xff\xd8\xff" + b"\xff" * 50, "JPEG file without its header"),
        (b"\xff\xd8\xff\xda" + b"\xc0" * 50, "JPEG file without its header"),
        (png_header(0, 5), "between 1 and 67108864 pixels. Received: 5 x 0"),
        (png_header(2**31 - 1, 2**31 - 1), "pixels. Received: 2147483647 x 2147483647"),
    ],
)
def test_refuses_what_is_not_an_image_to_decode(data, message):
    with pytest.raises(ValueError, match=message):
        check_image(data)


@pytest.mark.parametrize("marker", [0x00, 0x01, 0xD0, 0xD7, 0xD9])
def test_a_jpeg_cannot_hide_its_size_from_us(marker):
    frame = b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03" + b"\x01\x22\x00" * 3
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(frame)) + frame
    # To a decoder a comment; to who takes 6 for a length, a frame of one pixel.
    hidden = b"\xff" + bytes([marker]) + struct.pack(">H", 6) + comment
    whole = encoded("JPEG")
    assert image_size(whole[:2] + comment + whole[2:]) == (17, 31)
    with pytest.raises(ValueError, match="JPEG file without its header"):
        check_image(whole[:2] + hidden + whole[2:])


def test_the_limit_is_inclusive():
    check_image(png_header(8, 4), max_pixels=32)
    with pytest.raises(ValueError, match="between 1 and 31 pixels. Received: 4 x 8"):
        check_image(png_header(8, 4), max_pixels=31)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_damaged_headers_give_a_size_or_a_value_error(kind):
    rng = np.random.default_rng(0)
    original = np.frombuffer(encoded(kind), np.uint8)
    for _ in range(300):
        damaged = original[: rng.integers(original.size + 1)].copy()
        at = rng.integers(0, max(damaged.size, 1), size=4)
        if damaged.size:
            damaged[at] = rng.integers(0, 256, size=4)
        try:
            height, width = image_size(damaged.tobytes())
        except ValueError as error:
            assert "Received: " in str(error)
        else:
            assert height >= 0 and width >= 0
