"""The rows of `results.csv`, one a run that was measured."""

import csv
import datetime
import os
import pathlib
import platform

import keras
import tensorflow as tf

RESULTS = pathlib.Path(__file__).parent / "results.csv"
RETRIEVAL = ("recall_at_1", "recall_at_10", "r_precision", "map_at_r")


def row(*, name, recipe, seed, data_set, split, steps, seconds, found):
    """Returns the row of a run.

    Args:
        name: What was run.
        recipe: The script, from the root of the repository.
        seed: Of the run.
        data_set: What it was measured on.
        split: Which part that is, and which chose the checkpoint.
        steps: Of training.
        seconds: The whole run took.
        found: Dict of figures; those that are none of retrieval share the last column.
    """
    figures = {key: round(float(value), 4) for key, value in found.items()}
    others = {key: value for key, value in figures.items() if key not in RETRIEVAL}
    return {
        "name": name,
        "recipe": recipe,
        "seed": seed,
        "data_set": data_set,
        "split": split,
        "steps": steps,
        "seconds": round(seconds),
        **{key: figures.get(key, "") for key in RETRIEVAL},
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": f"tensorflow {tf.__version__}, keras {keras.__version__}",
        "date": datetime.date.today().isoformat(),
        "figures": "; ".join(f"{key}={value}" for key, value in others.items()),
    }


def append(row):
    """Adds a row to the file."""
    with RESULTS.open("a", newline="") as lines:
        csv.DictWriter(lines, row, lineterminator="\n").writerow(row)


def rows(recipe):
    """Returns the rows of a recipe, dicts of strings, in their order."""
    with RESULTS.open() as lines:
        return [row for row in csv.DictReader(lines) if row["recipe"] == recipe]


def figures(row):
    """Returns all figures of a row of the file, numbers by name."""
    others = filter(None, row["figures"].split("; "))
    found = {key: row[key] for key in RETRIEVAL if row[key]}
    found |= dict(pair.split("=") for pair in others)
    return {key: float(value) for key, value in found.items()}
