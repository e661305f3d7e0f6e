import pathlib

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw

from kerasdml import metrics
from kerasdml.data import characters
from kerasdml.data.glyphs import glyphs
from kerasdml.data.packs import load_pack

TTF = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
SMALL = {"size": 16, "images_per_class": 3, "classes": 4, "verbose": 0}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def pack(kept):
    return glyphs(classes=60, cache_dir=kept, verbose=0)


@pytest.fixture
def bars(monkeypatch):
    """Replaces characters by bars, which are found at once; counts the searches."""
    searches = []

    def distinct(faces, count, progress):
        searches.append(count)
        pictures = [Image.new("L", (96, 96)) for _ in range(count)]
        for number, picture in enumerate(pictures):
            ImageDraw.Draw(picture).rectangle([20, 20, 40 + number, 70], fill=255)
        return [(65 + i, dict.fromkeys(range(3), p)) for i, p in enumerate(pictures)]

    monkeypatch.setattr(characters, "distinct", distinct)
    return searches


def assert_same(one, other):
    for name in ("images", "labels", "class_names", "split"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.fields["font"], other.fields["font"])


def test_a_pack_of_grey_pictures_class_after_class(pack):
    assert pack.images.shape == (60 * 24, 32, 32)
    assert pack.images.dtype == np.uint8
    np.testing.assert_array_equal(pack.labels, np.repeat(np.arange(60), 24))
    assert len(pack.class_names) == len(set(pack.class_names)) == 60
    assert "A LATIN CAPITAL LETTER A" in pack.class_names


def test_strokes_are_white_on_black(pack):
    assert np.median(pack.images) < 16
    # Shapes are the lighter the more ink, and every one has some.
    assert (pack.images.max(axis=(1, 2)) > 100).all()
    rim = np.concatenate([pack.images[:, 0], pack.images[:, -1]])
    assert rim.mean() < 16


def test_one_half_of_the_classes_is_for_testing(pack):
    by_class = pack.split.reshape(60, 24)
    assert (by_class == by_class[:, :1]).all()
    assert sorted(by_class[:, 0]) == [0] * 30 + [1] * 30
    # Drawn, not the alphabet's second half.
    assert 0 < by_class[30:, 0].sum() < 30


def test_faces_draw_a_class_equally_often(pack):
    for fonts in pack.fields["font"].reshape(60, 24):
        np.testing.assert_array_equal(np.bincount(fonts, minlength=12), [2] * 12)


def test_raw_pixels_know_a_part_and_leave_a_part_to_learn(pack):
    pixels = pack.images.reshape(len(pack), -1).astype("float32")
    recall = metrics.retrieval(pixels, pack.labels, ks=(1,))["recall_at_1"]
    # By chance 23 / 1439 = 0.016. With 60 classes it is easier than with 400.
    assert 0.2 < recall < 0.9


def test_the_same_arguments_give_the_same_bytes(pack, tmp_path):
    assert_same(glyphs(classes=60, cache_dir=tmp_path, verbose=0), pack)


def test_fewer_classes_have_the_same_images(pack, tmp_path):
    few = glyphs(classes=20, cache_dir=tmp_path, verbose=0)
    np.testing.assert_array_equal(few.images, pack.images[: 20 * 24])
    np.testing.assert_array_equal(few.class_names, pack.class_names[:20])


def test_another_seed_gives_other_views_of_the_same_characters(bars, tmp_path):
    zero, one = (glyphs(**SMALL, seed=seed, cache_dir=tmp_path) for seed in (0, 1))
    np.testing.assert_array_equal(zero.class_names, one.class_names)
    assert (zero.images != one.images).any(axis=(1, 2)).all()


def test_given_fonts_draw_too(tmp_path):
    fonts = [TTF / "STIXGeneral.ttf", str(TTF / "STIXGeneralBol.ttf")]
    few = {**SMALL, "images_per_class": 14}
    pack = glyphs(**few, fonts=fonts, cache_dir=tmp_path)
    for drawn in pack.fields["font"].reshape(4, 14):
        assert sorted(drawn) == list(range(14))


def test_a_kept_set_is_read_and_not_drawn_again(bars, tmp_path):
    first = glyphs(**SMALL, cache_dir=tmp_path)
    assert_same(glyphs(**SMALL, cache_dir=tmp_path), first)
    assert bars == [4]
    assert_same(load_pack(next(tmp_path.iterdir())), first)


@pytest.mark.parametrize(
    "other",
    [
        {"size": 17},
        {"images_per_class": 2},
        {"classes": 5},
        {"seed": 1},
        {"fonts": [TTF / "DejaVuSerif.ttf"]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_arguments_are_kept_apart(bars, tmp_path, other):
    glyphs(**SMALL, cache_dir=tmp_path)
    glyphs(**SMALL | other, cache_dir=tmp_path)
    assert len(bars) == len(list(tmp_path.iterdir())) == 2


def test_a_font_is_known_by_its_content(bars, tmp_path):
    font, cache = tmp_path / "font.ttf", tmp_path / "cache"
    for name in ("DejaVuSans.ttf", "DejaVuSerif.ttf"):
        font.write_bytes((TTF / name).read_bytes())
        glyphs(**SMALL, fonts=[font], cache_dir=cache)
    assert len(bars) == 2
    glyphs(**SMALL, fonts=[TTF / "DejaVuSans.ttf"], cache_dir=cache)
    assert len(bars) == 2


def test_another_version_of_what_draws_draws_anew(bars, tmp_path, monkeypatch):
    glyphs(**SMALL, cache_dir=tmp_path)
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} of old")
    glyphs(**SMALL, cache_dir=tmp_path)
    assert len(bars) == 2


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_kept_set_that_was_cut_short_is_replaced(bars, tmp_path, part):
    first = glyphs(**SMALL, cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * part)])
    assert_same(glyphs(**SMALL, cache_dir=tmp_path), first)
    assert bars == [4, 4]
    assert_same(load_pack(file), first)


def test_a_kept_set_with_changed_bytes_is_replaced(bars, tmp_path):
    first = glyphs(**SMALL, cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[200] ^= 255  # an image: its checksum is wrong now
    file.write_bytes(content)
    assert_same(glyphs(**SMALL, cache_dir=tmp_path), first)
    assert bars == [4, 4]


def test_the_environment_names_the_folder(bars, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASDML_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    glyphs(**SMALL)
    assert len(list((tmp_path / "mine").iterdir())) == 1
    monkeypatch.delenv("KERASDML_CACHE")
    glyphs(**SMALL)
    assert len(list((tmp_path / "home" / "kerasdml").iterdir())) == 1


def test_a_folder_that_cannot_be_written_to_costs_a_warning(bars, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(UserWarning, match="could not be kept.*`cache_dir=`"):
        pack = glyphs(**SMALL, cache_dir=tmp_path / "file")
    assert len(pack) == 12


def test_a_full_disk_leaves_no_part_of_a_set(bars, tmp_path, monkeypatch):
    def savez(file, **arrays):
        file.write(b"a part")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.warns(UserWarning, match="No space left on device"):
        glyphs(**SMALL, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_shown_if_asked(bars, tmp_path, capsys):
    glyphs(**SMALL, cache_dir=tmp_path)
    assert capsys.readouterr().out == ""
    glyphs(**SMALL | {"verbose": 1, "seed": 1}, cache_dir=tmp_path)
    assert "4/4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "least"),
    [
        ({"size": 7}, 8),
        ({"size": 32.0}, 8),
        ({"images_per_class": 0}, 1),
        ({"classes": 1}, 2),
        ({"seed": -1}, 0),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(wrong, least):
    ((name, value),) = wrong.items()
    message = f"`{name}` must be an integer of at least {least}. .*{name}={value}"
    with pytest.raises(ValueError, match=message):
        glyphs(**wrong)


def test_fonts_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ValueError, match="files that can be read.*missing.ttf"):
        glyphs(fonts=[tmp_path / "missing.ttf"])
    (tmp_path / "broken.ttf").write_text("no font")
    with pytest.raises(ValueError, match="FreeType can read.*broken.ttf"):
        glyphs(fonts=[tmp_path / "broken.ttf"], cache_dir=tmp_path)


def test_one_font_is_a_list_of_one():
    with pytest.raises(ValueError, match=r"`fonts` must be a list.*`fonts=\[...\]`"):
        glyphs(fonts="font.ttf")
