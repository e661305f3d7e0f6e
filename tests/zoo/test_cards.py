import subprocess
import sys

import pytest

from kerasdml import zoo
from kerasdml.zoo.cards import fingerprint, write_card
from tests.zoo.conftest import a_card


def test_lists_names_in_order_and_by_wildcard(published):
    for name in ("resnet50.arc_face_cars", "conv4.triplet_cars", "conv4.arc_face_cars"):
        published(b"w", name=name)
    everything = ["conv4.arc_face_cars", "conv4.triplet_cars", "resnet50.arc_face_cars"]
    assert zoo.names() == everything
    assert zoo.names("Conv4*") == everything[:2]
    assert zoo.names("*arc_face*") == [everything[0], everything[2]]
    assert zoo.names("conv4") == []


def test_an_unknown_name_is_answered_with_the_published_ones(published):
    published(b"w", name="conv4.triplet_cars")
    published(b"w", name="conv4.arc_face_cars")
    expected = (
        "Unknown model 'conv5'. Published models: conv4.arc_face_cars, "
        r"conv4.triplet_cars. A path to a `.keras` file works too: zoo.load\(path\)."
    )
    for ask in (zoo.card, zoo.load, zoo.download):
        with pytest.raises(ValueError, match=expected):
            ask("conv5")


def test_an_empty_zoo_says_so(published):
    assert zoo.names() == []
    with pytest.raises(ValueError, match="Published models: none yet"):
        zoo.card("conv4.triplet_cars")


def test_a_card_is_read_as_it_was_written(tmp_path, published):
    image = zoo.Input((8, 6), 3, 1 / 255, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), "area")
    card = published(b"w", input=image, url="https://example.org/w.keras")
    assert zoo.card(card.name) == card


def test_the_file_of_cards_does_not_depend_on_the_order_of_writing(tmp_path):
    a, b = (
        a_card(name="a.m_d", metrics={"split": 0, "data_set": 1, "seeds": 2}),
        a_card(),
    )
    write_card(a, tmp_path / "ab.json")
    write_card(b, tmp_path / "ab.json")
    write_card(b, tmp_path / "ba.json")
    write_card(a_card(name="a.m_d", dim=9), tmp_path / "ba.json")
    write_card(a, tmp_path / "ba.json")
    text = (tmp_path / "ab.json").read_text()
    assert (tmp_path / "ba.json").read_text() == text
    assert text.index("data_set") < text.index("seeds") < text.index("split")


def test_a_card_shows_every_field(published):
    shown = str(published(b"w", url=None))
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert lines["name"] == "tiny.method_data"
    assert lines["metrics"] == "data_set d, split s, seeds 1, recall_at_1 0.5"
    assert lines["input"].startswith("4 x 4 x 1, bilinear")
    assert lines["url"] == "none"


def test_fingerprint_of_a_known_text(tmp_path):
    # The example of FIPS 180-2, appendix B.1.
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint(path) == {"sha256": digest, "bytes": 3}


@pytest.mark.parametrize(
    "field, message",
    [
        ({"name": "conv4"}, "must be `architecture.method_dataset`"),
        ({"file": "../conv4.keras"}, "without a folder"),
        ({"file": "conv4.h5"}, "name of a `.keras` file"),
        ({"sha256": "A" * 64}, "64 hexadecimal digits in lower case"),
        ({"dim": 0}, "`bytes` and `dim` must be positive. Received: bytes=1, dim=0"),
        ({"bytes": -1}, "`bytes` and `dim` must be positive"),
        ({"similarity": "l2"}, "`similarity` must be one of cosine, dot, euclidean"),
        ({"metrics": {"seeds": 1}}, "Missing: data_set, split"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refuses_a_field_that_cannot_be_right(field, message):
    with pytest.raises(ValueError, match=message):
        a_card(**field)


def test_names_and_cards_need_neither_keras_nor_tensorflow():
    code = (
        "import sys, kerasdml; kerasdml.zoo.names(); "
        "print({'keras', 'tensorflow'} & set(sys.modules) or 'none')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "none"
