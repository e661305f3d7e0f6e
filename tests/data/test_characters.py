import pathlib

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw

from kerasdml.data import characters

TTF = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")


@pytest.fixture(scope="module")
def found():
    return characters.distinct(characters.faces(), 600)


@pytest.fixture(scope="module")
def names(found):
    return {chr(code) for code, _ in found}


class Drawn:
    """A face of squares on a grid of 4 x 4: {code point: squares that are white}."""

    def __init__(self, squares):
        self.squares = squares
        self.characters = set(squares)

    def picture(self, code):
        if code not in self.squares:
            return None
        image = Image.new("L", (96, 96))
        for square in self.squares[code]:
            x, y = 24 * (square % 4), 24 * (square // 4)
            ImageDraw.Draw(image).rectangle([x, y, x + 23, y + 23], fill=255)
        return image


def test_the_built_in_faces_have_six_hundred_characters_that_all_of_them_draw(found):
    assert len({code for code, _ in found}) == 600
    for code, pictures in found:
        assert sorted(pictures) == list(range(12)), chr(code)
        assert all(np.asarray(p).max() > 128 for p in pictures.values()), chr(code)


@pytest.mark.parametrize("alike", ["AΑА", "OoΟοОо", "Il", "Ss", "Xx", "BΒВ", "mт"])
def test_of_characters_that_look_alike_one_is_taken(names, alike):
    assert len(names & set(alike)) == 1


@pytest.mark.parametrize("others", ["AΔД", "0C", "Ie1", "abdeghkmnpqrty", "Pp", "CĆĉč"])
def test_characters_that_differ_are_all_taken(names, others):
    assert names >= set(others)


def test_no_two_characters_correlate_in_any_face(found):
    for number in range(12):
        small = [
            np.asarray(pictures[number], float).reshape(24, 4, 24, 4).mean((1, 3))
            for _, pictures in found[:200]
        ]
        correlations = np.corrcoef([picture.ravel() for picture in small])
        np.fill_diagonal(correlations, 0.0)
        # Pillow rounds the means to whole numbers.
        assert correlations.max() < 0.95 + 1e-3


def test_characters_in_most_faces_come_first_then_unicode_order():
    rows = {ord("d"): [0, 1, 2], ord("c"): [4, 5], ord("b"): [8], ord("a"): [3, 15]}
    faces = [Drawn(rows), Drawn({code: rows[code] for code in (ord("c"), ord("d"))})]
    assert [code for code, _ in characters.distinct(faces, 4)] == [*map(ord, "cdab")]
    assert [sorted(p) for _, p in characters.distinct(faces, 4)] == [[0, 1]] * 2 + [
        [0]
    ] * 2


def test_one_face_in_which_two_look_alike_is_enough():
    apart = Drawn({ord("a"): [0, 5], ord("b"): [3, 6]})
    same = Drawn({ord("a"): [9], ord("b"): [9]})
    assert len(characters.distinct([apart], 2)) == 2
    with pytest.raises(ValueError, match="different looks, 1"):
        characters.distinct([apart, same], 2)


def test_the_two_cases_of_a_letter_look_alike_sooner():
    # 7 of 16 squares against the same and one more: with means 7/16 and 8/16 the
    # correlation is (7/16 - 7/16 * 8/16) / sqrt(7/16 * 9/16 * 1/4) = 0.88.
    seven, eight = list(range(7)), list(range(8))
    assert len(characters.distinct([Drawn({97: seven, 98: eight})], 2)) == 2
    with pytest.raises(ValueError, match="`classes=2` is more than .* looks, 1"):
        characters.distinct([Drawn({ord("a"): seven, ord("A"): eight})], 2)


def test_look_alikes_are_found_across_blocks(monkeypatch):
    grid = {ord("a") + i: [i] for i in range(8)} | {ord("z"): [3], ord("y"): [9]}
    whole = characters.distinct([Drawn(grid)], 9)
    monkeypatch.setattr(characters, "_BLOCK", 3)
    parts = characters.distinct([Drawn(grid)], 9)
    assert [code for code, _ in parts] == [code for code, _ in whole]
    assert [chr(code) for code, _ in parts] == list("abcdefghy")


@pytest.mark.parametrize(
    "character",
    [" ", "\u00ad", "\u0301", "\u2800", "\u4e2d", "\u00b2", "\ufb01", "\u02b0"],
    ids=["space", "control", "mark", "blank", "missing", "raised", "ligature", "small"],
)
def test_what_is_no_character_of_its_own_has_no_picture(character):
    face = characters.Face(TTF / "DejaVuSans.ttf")
    assert face.picture(ord("A")) is not None
    assert face.picture(ord(character)) is None


def test_pictures_fill_the_square_whatever_their_size_in_the_line():
    face = characters.Face(TTF / "DejaVuSans.ttf")
    for character in "A.|-":
        left, top, right, bottom = face.picture(ord(character)).getbbox()
        assert max(right - left, bottom - top) == 96 - 2
        # In the middle, up to the rounding of an odd rest.
        assert abs(left + right - 96) <= 1
        assert abs(top + bottom - 96) <= 1


def test_fallback_boxes_are_no_characters(monkeypatch):
    # Its charmap has every code point; whole scripts share a glyph.
    boxes = TTF / "LastResortHE-Regular.ttf"
    assert not characters.Face(boxes).characters & set(map(ord, "AaΩЖ中1!→"))
    monkeypatch.setattr(characters, "_MOST_SHARED", 0)
    with pytest.raises(ValueError, match="not only fallback boxes.*LastResort"):
        characters.Face(boxes)


@pytest.mark.parametrize("content", [b"", b"no font at all"])
def test_an_unreadable_font_is_named(tmp_path, content):
    (tmp_path / "broken.ttf").write_bytes(content)
    with pytest.raises(ValueError, match="FreeType can read.*broken.ttf"):
        characters.faces([tmp_path / "broken.ttf"])


def test_names_show_the_character_and_its_name():
    assert characters.name(ord("A")) == "A LATIN CAPITAL LETTER A"
    assert characters.name(0xE000) == "\ue000 U+E000"
