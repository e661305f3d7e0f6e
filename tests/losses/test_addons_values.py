"""Losses give what TensorFlow Addons gave: see `tests/addons/record.py`."""

import json
import pathlib

import numpy as np
import pytest

from kerasdml import losses
from tests.addons.batches import batch

ROWS = json.loads(pathlib.Path(__file__).with_name("addons_values.json").read_text())
OURS = {
    "semi-hard": losses.Triplet(
        negatives="semi_hard", similarity="euclidean", margin=1.0
    ),
    "hard": losses.Triplet(negatives="hard", similarity="euclidean", margin=1.0),
    "hard, soft margin": losses.Triplet(
        negatives="hard", similarity="euclidean", margin="soft"
    ),
    "lifted": losses.LiftedStructure(),
}


@pytest.mark.parametrize("loss", OURS)
def test_values_are_those_of_addons(loss):
    rows = [row for row in ROWS if row["loss"] == loss]
    assert len(rows) == 15
    for row in rows:
        labels, x = batch(row["seed"], row["normalised"], row["per_class"])
        np.testing.assert_allclose(
            OURS[loss](labels, x), row["value"], rtol=1e-5, atol=1e-5
        )
