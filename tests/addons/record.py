"""Writes what TensorFlow Addons gives, for the tests that run without it.

TF_USE_LEGACY_KERAS=1 python -m tests.addons.record
"""

import functools
import pathlib

from tests.addons.conftest import addons_value_and_gradient, load_addons
from tests.losses import addons_cases, comparisons

FILE = pathlib.Path(addons_cases.__file__).with_name("addons_values.json")
SEEDS = (0, 1)


def main():
    addons = load_addons()
    comparisons.write(FILE, "tensorflow_addons", addons.__version__, recorded(addons))


def recorded(addons):
    """Returns the value and slope of Addons on every batch."""
    gives = functools.partial(addons_value_and_gradient, addons)
    return comparisons.recorded(addons_cases.CASES, gives, SEEDS)


if __name__ == "__main__":
    main()
