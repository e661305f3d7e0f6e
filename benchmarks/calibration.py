"""Time of `metrics.calibrate` and `metrics.verification` of many scores.

python benchmarks/calibration.py
"""

import argparse
import statistics
import time

import numpy as np

from kerasdml import metrics


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1_000_000, help="scores")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    same = rng.random(args.size) < 0.1
    scores = (rng.normal(size=args.size) + 2 * same).astype("float32")
    for function in (metrics.calibrate, metrics.verification):
        times = [seconds(function, scores, same) for _ in range(args.repeats)]
        print(
            f"{function.__name__} of {args.size} scores: "
            f"{statistics.median(times):.2f} s (longest {max(times):.2f} s)"
        )


def seconds(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
