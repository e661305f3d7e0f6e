import html.parser
import re

import numpy as np
import pytest
from PIL import Image

from kerasdml import metrics, reports
from tests.reports.conftest import HOSTILE

PICTURES = {
    *("recall", "precision_recall", "roc", "similarities", "mistakes", "neighbours"),
    *("confusion", "map_pca", "map_tsne"),
}
EMPTY = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Checks that tags close, and keeps texts, images and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.images, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] != "style" and text.strip():
            self.texts.append(text.strip())


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def test_writes_pictures_of_sensible_size(folder):
    assert {path.stem for path in folder.glob("*.png")} == PICTURES
    assert len(list(folder.iterdir())) == len(PICTURES) + 1
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"
            assert 500 <= image.width <= 2000 and 300 <= image.height <= 2000
            assert len(np.unique(np.asarray(image.convert("L")))) > 10, "not blank"


def test_the_page_holds_every_picture_and_describes_it(folder, page):
    assert len(page.images) == len(PICTURES)
    for image in page.images:
        assert image["src"].startswith("data:image/png;base64,")
        assert len(image["alt"]) > 30
        assert int(image["width"]) > 0 and int(image["height"]) > 0


def test_the_page_needs_nothing_else(folder, page):
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"(https?:)?//\w|file:|url\(|@import", without_data(text))
    assert "<script" not in text and "<link" not in text
    assert {name for name, _ in page.attributes} >= {"src"}
    assert not {"href", "srcset", "onload"} & {name for name, _ in page.attributes}


def without_data(text):
    return re.sub(r'src="data:image/png;base64,[A-Za-z0-9+/=]+"', "", text)


def test_names_and_protocol_are_shown_as_they_are(page):
    assert "<i>Title</i>" in page.texts
    assert "Line 1 <b>\nline 2" in page.texts
    assert HOSTILE[0] in page.texts or HOSTILE[1] in page.texts


def test_given_scores_are_shown(page):
    for name, value in [
        ("recall_at_1", "0.5000"),
        ("k-means nmi", "0.2500"),
        ("k-means clusters", "1,234"),
    ]:
        assert page.texts[page.texts.index(name) + 1] == value


def test_scores_are_those_of_the_metrics(data, tmp_path):
    for name in ("neighbours.png", "mine.png"):
        (tmp_path / name).write_bytes(b"of an earlier report, and of mine")
    path = reports.write(
        tmp_path, data["embeddings"], data["labels"], map_examples=0, verbose=0
    )
    texts = Page(path.read_text(encoding="utf-8")).texts
    expected = metrics.retrieval(data["embeddings"], data["labels"])
    pairs = metrics.pair_scores(data["embeddings"], data["labels"])
    expected |= metrics.verification(pairs.scores, pairs.same, folds=None)
    for name in ("recall_at_1", "recall_at_10", "r_precision", "map_at_r", "roc_auc"):
        assert texts[texts.index(name) + 1] == f"{expected[name]:.4f}"
    wrong = 30 - round(30 * expected["recall_at_1"])
    assert any(text.startswith(f"{wrong} of 30 queries have") for text in texts)
    left = {path.stem for path in tmp_path.glob("*.png")}
    assert "mine" in left and not {"neighbours", "mistakes", "map_pca"} & left


def test_a_gallery_of_other_images_and_classes(data, tmp_path, capsys):
    files = []
    for i in range(12):
        files.append(tmp_path / f"photo{i}.png")
        Image.new("RGB", (20 + i, 16), (i, 0, 0)).save(files[-1])
    rng = np.random.default_rng(1)
    path = reports.write(
        tmp_path / "report",
        **data,
        gallery=rng.normal(size=(12, 4)),
        gallery_labels=np.repeat([0, 1, 2, 5], 3),
        gallery_images=files,
        map_examples=0,
    )
    texts = Page(path.read_text(encoding="utf-8")).texts
    assert any("a gallery of 12 of 4 classes" in text for text in texts)
    assert any(text.endswith("10 queries have nothing to find.") for text in texts)
    assert any(text.endswith(".png") for text in texts), "paths name the images"
    assert "Report: looking at neighbours" in capsys.readouterr().out


def test_perfect_embeddings_have_no_mistakes_and_reports_repeat(tmp_path):
    labels = np.repeat(["ant", "bee"], 3)
    embeddings = np.repeat(np.eye(2), 3, axis=0)
    images = np.zeros((6, 5, 5))
    pages = []
    for _ in range(2):
        path = reports.write(
            tmp_path, embeddings, labels, images, map_examples=0, verbose=0
        )
        pages.append(path.read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    texts = Page(pages[0]).texts
    assert "None: all 6 queries have one of their class nearest." in texts
    assert not (tmp_path / "mistakes.png").exists()


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"neighbours": 0}, "`neighbours` must be at least 1. Received: neighbours=0"),
        ({"queries": 0}, "`queries` must be at least 1"),
        ({"map_examples": -1}, "`map_examples` must be at least 0"),
        ({"similarity": "l1"}, "`similarity` must be one of"),
        (
            {"images": np.zeros((29, 4, 4))},
            "`images` must have one .* 30. Received: 29",
        ),
        ({"ids": ["a"]}, "`ids` must have one entry per embedding, 30. Received: 1"),
        ({"labels": np.zeros(30, int)}, "two classes or more.* 30 examples of 1 class"),
        ({"labels": np.arange(30)}, "with two examples or more.* of 30 classes"),
        ({"embeddings": np.full((30, 4), np.nan)}, "`embeddings` must be finite"),
        ({"gallery": np.ones((2, 4))}, "`gallery_labels` must be given together"),
        (
            {"gallery": np.ones((2, 4)), "gallery_labels": [0, 1]},
            "`images` and `gallery_images` must be given together",
        ),
        (
            {"gallery": np.ones((2, 4)), "gallery_labels": ["0", "1"], "images": None},
            "`labels` and `gallery_labels` must be of one kind",
        ),
    ],
)
def test_refuses_before_any_work(data, tmp_path, bad, message):
    with pytest.raises(ValueError, match=message):
        reports.write(tmp_path / "report", **(data | bad))
    assert not (tmp_path / "report").exists()
