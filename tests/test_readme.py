"""What the README shows works as it is shown."""

import pathlib
import re

import keras
import pytest

import kerasdml

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
SMALLER = {
    "glyphs()": "glyphs(images_per_class=6, classes=70, verbose=0)",
    "epochs=20": "epochs=1",
    'kerasdml.serving.serve("servable/glyphs")': (
        'server = kerasdml.serving.start("servable/glyphs")'
    ),
}


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="export runs on TensorFlow"
)
def test_the_walk_leads_from_images_to_a_served_index(tmp_path, monkeypatch):
    pytest.importorskip("scann")
    walk = re.search(r"```python\n(.+?)```", README, re.DOTALL)[1]
    for shown, smaller in SMALLER.items():
        assert shown in walk
        walk = walk.replace(shown, smaller)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(walk, names)
    with names["server"] as server:
        client = kerasdml.serving.Client(server.url, server.name)
        (found,) = client.search([names["test"].images[0]], k=3)
        calibrated = re.search(r"```python\n(calibration = .+?)```", README, re.DOTALL)
        exec(calibrated[1], names)
    assert names["matches"].shape == (len(names["test"]), 5)
    with kerasdml.serving.start("servable/glyphs") as server:
        client = kerasdml.serving.Client(server.url, server.name)
        (matching,) = client.match([names["test"].images[0]], at=1e-3)
    assert matching[0].id == 0
    # An image that is in the index finds itself.
    assert found[0].id == 0 and found[0].score == pytest.approx(1, abs=1e-3)
    assert found[0].label == names["names"][0]
    assert "val_recall_at_1" in names["model"].history.history


@pytest.mark.parametrize("name", kerasdml.losses.__all__)
def test_each_loss_is_documented(name):
    page = (pathlib.Path(__file__).parents[1] / "docs/losses.md").read_text()
    assert name == "Sum" or (f"`{name}`" in README and f"| `{name}" in page)
