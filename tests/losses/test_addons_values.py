"""Losses give the values that TensorFlow Addons gave, for those who come from it."""

import json
import pathlib

import numpy as np
import pytest

from tests.conftest import compiled, value_and_gradient
from tests.losses import addons_cases

ROWS = json.loads(pathlib.Path(__file__).with_name("addons_values.json").read_text())
CASES = {str(case): case for case in addons_cases.CASES}


@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes_are_those_of_addons(name):
    case = CASES[name]
    rows = [row for row in ROWS["values"] if row["case"] == name]
    assert rows, "not recorded: python -m tests.addons.record"
    loss = compiled(case.loss)
    for row in rows:
        labels, embeddings = addons_cases.batch(row["seed"], row["layout"], row["unit"])
        value, gradient = value_and_gradient(
            lambda e, labels=labels: case.factor * loss(labels, e), embeddings
        )
        slope = np.sum(gradient * addons_cases.direction(row["seed"]))
        np.testing.assert_allclose(value, row["value"], rtol=1e-5, err_msg=str(row))
        # A slope is a sum of terms that cancel: its error is that of the terms.
        np.testing.assert_allclose(
            slope,
            row["slope"],
            atol=1e-5 * np.abs(gradient).sum() + 1e-6,
            err_msg=str(row),
        )
