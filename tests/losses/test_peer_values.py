"""Losses give the values that other libraries gave, for those who come from them."""

import json
import pathlib

import numpy as np
import pytest

from tests.losses import addons_cases, comparisons, pytorch_metric_learning_cases


def rows(module):
    """Lists each case of `module` with the rows of values that were kept of it."""
    name = module.__name__.rpartition(".")[2].replace("_cases", "_values.json")
    kept = json.loads(pathlib.Path(__file__).with_name(name).read_text())["values"]
    names = {str(case) for case in module.CASES}
    assert names == {row["case"] for row in kept}, "not recorded"
    return [
        pytest.param(case, [r for r in kept if r["case"] == str(case)], id=str(case))
        for case in module.CASES
    ]


@pytest.mark.parametrize(
    "case, kept", [*rows(addons_cases), *rows(pytorch_metric_learning_cases)]
)
def test_values_and_slopes_are_those_of_other_libraries(case, kept):
    gives, rtol = comparisons.ours(case), getattr(case, "rtol", 1e-5)
    for row in kept:
        labels, embeddings = comparisons.batch(row["seed"], row["layout"], row["unit"])
        value, gradient = gives(labels, embeddings)
        slope = comparisons.slope(row["seed"], gradient)
        np.testing.assert_allclose(
            value, row["value"], rtol=rtol, atol=1e-9, err_msg=str(row)
        )
        # A slope is a sum of terms that cancel: its error is that of the terms.
        np.testing.assert_allclose(
            slope,
            row["slope"],
            atol=rtol * np.abs(gradient).sum() + 1e-6,
            err_msg=str(row),
        )
