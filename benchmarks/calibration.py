"""Time of `metrics.calibrate` and `metrics.verification` of many scores.

Side by side with one sort of the same scores, which is what both cannot do without:

    python benchmarks/calibration.py
    python benchmarks/calibration.py --sizes 100000 --csv ''
"""

import argparse
import datetime
import os
import pathlib
import time

import numpy as np
import row_files

import kerasdml
from kerasdml import metrics

RESULTS = pathlib.Path(__file__).parent / "results" / "calibration.csv"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each")
    parser.add_argument("--csv", default=RESULTS, help="file to add the rows to")
    args = parser.parse_args()
    for size in args.sizes:
        for row in measured(size, args.repeats):
            print(
                f"{row['function']} of {size} scores: {row['seconds']} s (longest "
                f"{row['longest']} s), {row['times_a_sort']} times a sort"
            )
            if args.csv:
                row_files.add(pathlib.Path(args.csv), row)


def measured(size, repeats):
    rng = np.random.default_rng(0)
    same = rng.random(size) < 0.1
    scores = (rng.normal(size=size) + 2 * same).astype("float32")
    # Of float64, as a sort of float32 would do less than a threshold needs.
    functions = {
        "sort": lambda: np.sort(scores.astype(float)),
        "calibrate": lambda: metrics.calibrate(scores, same),
        "verification": lambda: metrics.verification(scores, same),
    }
    # In turn, so that all meet the same moods of the machine.
    turns = [[seconds(call) for call in functions.values()] for _ in range(repeats)]
    times_of = dict(zip(functions, np.transpose(turns), strict=True))
    for name, times in times_of.items():
        yield {
            "function": name,
            "scores": size,
            "seconds": round(np.median(times), 4),
            "longest": round(max(times), 4),
            "times_a_sort": round(np.median(times / times_of["sort"]), 1),
            "cores": os.cpu_count(),
            "kerasdml": kerasdml.__version__,
            "numpy": np.__version__,
            "date": datetime.date.today().isoformat(),
        }


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
