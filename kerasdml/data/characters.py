"""Characters as fonts draw them: which a font has, and which look alike."""

import os
import pathlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageFont

# Side of a character's picture, and its black rim, in pixels. At the rim, sampling
# fades out.
_SIDE = 96
_RIM = 1

# Fonts of matplotlib with text: three families of four faces that share about 2,000
# characters. Its other fonts hold mathematics, parts of symbols or fallback boxes.
_SLANTS = {"Sans": "Oblique", "SansMono": "Oblique", "Serif": "Italic"}
BUILT_IN = [
    f"DejaVu{family}{style}.ttf"
    for family, slant in _SLANTS.items()
    for style in ("", "-Bold", f"-{slant}", f"-Bold{slant}")
]

# Correlations of two pictures from which on they count as one. Latin and Cyrillic A
# have 1, C with an acute and with a circumflex 0.94.
_ALIKE = 0.95
# The two cases of a letter differ by the weight of their strokes once they have the
# same height: o and O have 0.90, s and S 0.95, but p and P, which differ, 0.71.
_ALIKE_CASES = 0.85
# Pictures are compared at a side of `_SIDE / _REDUCTION` pixels.
_REDUCTION = 4
_PIXELS = (_SIDE // _REDUCTION) ** 2
# Characters drawn and compared at a time.
_BLOCK = 256
# A glyph that stands for more characters than this is a fallback box: scripts share a
# letter's glyph among three or four of theirs.
_MOST_SHARED = 8


class Face:
    """One font file: the characters it has, and their pictures.

    Args:
        path: A font file that FreeType reads: `.ttf`, `.otf`, `.ttc` (its first face).

    Raises:
        ValueError: If it cannot be read, or has no letter, number, punctuation or
            symbol.
    """

    def __init__(self, path: str | os.PathLike):
        try:
            glyph_of = FT2Font(str(path)).get_charmap()
            # The basic layout is in every build of Pillow, and always the same.
            self._font = ImageFont.truetype(
                str(path), _SIDE, layout_engine=ImageFont.Layout.BASIC
            )
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"`fonts` must be font files that FreeType can read. Received: "
                f"{str(path)!r} ({error})."
            ) from error
        uses = Counter(glyph_of.values())
        self.characters = {
            code
            for code, glyph in glyph_of.items()
            # Glyph 0 is the box drawn for what a font does not have.
            if glyph and uses[glyph] <= _MOST_SHARED and _is_text(chr(code))
        }
        if not self.characters:
            raise ValueError(
                "`fonts` must have text characters, not only fallback boxes, blanks or "
                f"marks. Received: {str(path)!r}."
            )

    def picture(self, code: int):
        """Draws a character white on black; `None` if it is blank or not there.

        Its ink fills the middle of the square in width or in height, whichever is
        larger, whatever its size in the line.
        """
        if code not in self.characters:
            return None
        mask = self._font.getmask(chr(code), mode="L")
        ink = Image.frombytes("L", mask.size, bytes(mask))
        box = ink.getbbox()
        return None if box is None else _squared(ink.crop(box))


def faces(fonts: Sequence[str | os.PathLike] = ()) -> list[Face]:
    """Opens the faces `BUILT_IN`, then `fonts`, in this order."""
    folder = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
    return [Face(folder / name) for name in BUILT_IN] + [Face(path) for path in fonts]


def distinct(
    faces: Sequence[Face], count: int, progress: Callable[[int], None] = lambda n: None
) -> list[tuple[int, dict]]:
    """Finds characters that can be told apart by shape alone.

    Characters come by the number of faces that have them, most first, then in the order
    of Unicode. One that looks like any before it in any face is left out: Greek and
    Cyrillic A after Latin A, o after O, Cyrillic te, an m in italics, after m. So two
    characters of the result never look alike, and neither looks like what the other
    stands for.

    Args:
        faces: The faces.
        count: How many characters, at least 1.
        progress: Called with the number of characters found so far.

    Returns:
        `count` pairs `(code point, {face number: picture})`.

    Raises:
        ValueError: If there are fewer.
    """
    codes = _best_covered_first(faces)
    found, looks = [], np.zeros((len(faces), 0, _PIXELS), np.float32)
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK]
        pictures = [_pictures(faces, code) for code in block]
        looks = np.concatenate([looks, _looks(pictures, len(faces))], axis=1)
        alike = _alike(looks, codes, start)
        earlier = np.tril(alike, start - 1).any(axis=1)
        fresh = zip(block, pictures, earlier, strict=True)
        found += [(code, drawn) for code, drawn, old in fresh if drawn and not old]
        progress(min(len(found), count))
        if len(found) >= count:
            return found[:count]
    raise ValueError(
        f"`classes={count}` is more than these faces have characters of different "
        f"looks, {len(found)}. Ask for fewer, or give further `fonts`."
    )


def name(code: int) -> str:
    """Returns a character and its name: "A LATIN CAPITAL LETTER A"."""
    return f"{chr(code)} {unicodedata.name(chr(code), f'U+{code:04X}')}"


def _is_text(character):
    """Whether it is a letter, number, punctuation mark or symbol in its own right."""
    category = unicodedata.category(character)
    # Compatibility characters are others in another dress: superscripts, ligatures.
    dressed = unicodedata.decomposition(character).startswith("<")
    return category[0] in "LNPS" and category not in ("Lm", "Sk") and not dressed


def _squared(ink):
    scale = (_SIDE - 2 * _RIM) / max(ink.size)
    width, height = (max(1, round(side * scale)) for side in ink.size)
    square = Image.new("L", (_SIDE, _SIDE))
    ink = ink.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(ink, ((_SIDE - width) // 2, (_SIDE - height) // 2))
    return square


def _best_covered_first(faces):
    coverage = Counter(code for face in faces for code in face.characters)
    return sorted(coverage, key=lambda code: (-coverage[code], code))


def _pictures(faces, code):
    drawn = ((number, face.picture(code)) for number, face in enumerate(faces))
    return {number: picture for number, picture in drawn if picture is not None}


def _looks(pictures, faces):
    """`(faces, n, pixels)`, whose dot products are the correlations of pictures.

    A character that a face lacks has zeros there, and correlates with nothing.
    """
    looks = np.zeros((faces, len(pictures), _PIXELS), np.float32)
    for column, drawn in enumerate(pictures):
        for number, picture in drawn.items():
            pixels = np.asarray(picture.reduce(_REDUCTION), np.float32).ravel()
            pixels -= pixels.mean()
            looks[number, column] = pixels / np.linalg.norm(pixels)
    return looks


def _alike(looks, codes, start):
    """`(n - start, n)`: whether a character from `start` on looks like any."""
    correlations = np.max([own[start:] @ own.T for own in looks], axis=0)
    folded = np.array([chr(code).lower() for code in codes[: looks.shape[1]]])
    cases = folded[start:, None] == folded
    return correlations >= np.where(cases, _ALIKE_CASES, _ALIKE)
