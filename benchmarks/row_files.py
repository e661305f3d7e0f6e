"""Rows of results, in the CSV files that `--csv` names."""

import csv


def add(path, row):
    """Adds a row, a dict of values by column, to a file, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
