"""What docs/evaluation.md shows works as it is shown."""

import json
import pathlib
import re

import keras
import numpy as np
import pytest

import kerasdml

PAGE = (pathlib.Path(__file__).parents[1] / "docs/evaluation.md").read_text()


def examples(seed):
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(3), 6)
    x = rng.normal(size=(3, 4))[labels] + 0.1 * rng.normal(size=(18, 4))
    return x.astype("float32"), labels


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the page shows a tf.data.Dataset"
)
def test_the_examples_run(tmp_path, monkeypatch):
    import tensorflow as tf

    pytest.importorskip("sklearn")  # of reports
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    dataset = tf.data.Dataset.from_tensor_slices(examples(0)).batch(9)
    shown = {
        "keras": keras,
        "kerasdml": kerasdml,
        "embeddings": examples(0)[0],
        "labels": examples(0)[1],
        "images": np.zeros((18, 8, 8, 3), "uint8"),
        "names": np.array(["ant", "bee", "cat"]),
        "embedder": embedder,
        "train": dataset,
        "validation": dataset,
        "queries": tf.data.Dataset.from_tensor_slices(examples(1)).batch(9),
        "gallery": examples(2),
    }
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL):
        exec(block, shown)
    assert shown["scores"].keys() == {
        *(f"recall_at_{k}" for k in (1, 2, 4, 8)),
        "map_at_r",
        "nmi",
    }
    logged = shown["model"].history.history
    assert {"val_recall_at_8", "shop_map_at_r", "train_recall_at_10"} <= logged.keys()
    lines = (tmp_path / "runs/1/scores.jsonl").read_text().splitlines()
    assert {json.loads(line)["data"] for line in lines} == {"shop", "train"}


def test_the_names_of_all_metrics_are_on_the_page():
    with pytest.raises(ValueError) as error:
        kerasdml.metrics.evaluate([[1.0]], [0], metrics=["?"])
    known = re.findall(r"'(\w+)'", str(error.value))
    assert len(known) == 15 and all(f"`{name}`" in PAGE for name in known)
