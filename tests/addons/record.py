"""Writes what TensorFlow Addons gives, for the tests that run without it.

TF_USE_LEGACY_KERAS=1 python -m tests.addons.record
"""

import json
import pathlib

import numpy as np

from tests.addons.conftest import addons_value_and_gradient, load_addons
from tests.losses import addons_cases

FILE = pathlib.Path(addons_cases.__file__).with_name("addons_values.json")
SEEDS = (0, 1)


def main():
    FILE.write_text(as_text(recorded(load_addons())))


def recorded(addons):
    """Returns the version of Addons and its value and slope on every batch."""
    rows = [
        row(addons, case, *batch)
        for case in addons_cases.CASES
        for batch in addons_cases.batches(case, SEEDS)
    ]
    return {"tensorflow_addons": addons.__version__, "values": rows}


def row(addons, case, seed, layout, unit):
    labels, embeddings = addons_cases.batch(seed, layout, unit)
    value, gradient = addons_value_and_gradient(addons, case, labels, embeddings)
    slope = np.sum(gradient * addons_cases.direction(seed))
    return {
        "case": str(case),
        "seed": seed,
        "layout": layout,
        "unit": unit,
        "value": float(f"{value:.7g}"),
        "slope": float(f"{slope:.7g}"),
    }


def as_text(record):
    """Returns `record` as JSON with one row a line."""
    rows = ",\n".join(json.dumps(row) for row in record["values"])
    version = json.dumps(record["tensorflow_addons"])
    return f'{{"tensorflow_addons": {version}, "values": [\n{rows}\n]}}\n'


if __name__ == "__main__":
    main()
