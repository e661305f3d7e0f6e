"""Tests what the papers of methods claim, in direction, on real data.

Every study of `zoo/studies` trains two or more runs that differ in its method alone,
with three seeds, and measures them on classes that are not seen.

    KERASDML_DATA=folder python zoo/train_methods.py
    KERASDML_DATA=folder python zoo/train_methods.py --only memory imprinting
    KERASDML_DATA=folder python zoo/train_methods.py --only memory --choose
    python zoo/train_methods.py --table

A row a run goes into `zoo/results.csv` as soon as it is there; runs that have a row are
skipped, so that this can be stopped and go on.
"""

import argparse
import importlib
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import results
from studies import common

STUDIES = pathlib.Path(__file__).parent / "studies"
NAMES = sorted(file.stem for file in STUDIES.glob("[!_]*.py") if file.stem != "common")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--choose",
        action="store_true",
        help="measure on training classes that are held out, and write nothing",
    )
    parser.add_argument("--table", action="store_true", help="print what there is")
    arguments = parser.parse_args()
    if arguments.table:
        for name in arguments.only:
            print_table(name)
        return
    folder = os.environ.get("KERASDML_DATA")
    if not folder:
        parser.error("set KERASDML_DATA to the folder of the packs")
    for name in arguments.only:
        run(name, pathlib.Path(folder), arguments)


def run(name, folder, arguments):
    study = importlib.import_module(f"studies.{name}")
    there = {(row["name"], row["seed"]) for row in results.rows(recipe(name))}
    data = None
    for seed in arguments.seeds:
        for title, measure in study.RUNS.items():
            if (title, str(seed)) in there and not arguments.choose:
                continue
            if data is None:
                data = common.DATA[study.DATA](folder)
                data = data.held_out() if arguments.choose else data
            keras.utils.set_random_seed(seed)
            start = time.time()
            found = measure(data, seed)
            row = results.row(
                name=title,
                recipe=recipe(name),
                seed=seed,
                data_set=data.name,
                split=f"{data.split}; no split chose the checkpoint",
                steps=study.STEPS,
                seconds=time.time() - start,
                found=found,
            )
            print(
                f"{title:<44} seed {seed}  {row['seconds']} s  {shown(row)}", flush=True
            )
            if not arguments.choose:
                results.append(row)


def recipe(name):
    return f"zoo/studies/{name}.py"


def shown(row):
    return "  ".join(f"{key} {value}" for key, value in results.figures(row).items())


def print_table(name):
    """Prints means and standard deviations over seeds, a run a line."""
    rows = results.rows(recipe(name))
    for data_set in dict.fromkeys(row["data_set"] for row in rows):
        print(f"\n{name}, {data_set}:\n")
        own = [row for row in rows if row["data_set"] == data_set]
        heads = list(dict.fromkeys(key for row in own for key in results.figures(row)))
        print(f"| run | seeds | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 2)}")
        for title in dict.fromkeys(row["name"] for row in own):
            runs = [results.figures(row) for row in own if row["name"] == title]
            cells = [mean([run[key] for run in runs if key in run]) for key in heads]
            print(f"| {title} | {len(runs)} | {' | '.join(cells)} |")


def mean(values):
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
