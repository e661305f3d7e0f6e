"""Prints how many example indices a second class-balanced batches give.

    python benchmarks/sampler.py

The fastest of many epochs, since machines are noisy, beside NumPy's bare shuffle of as
many indices in the same run.
"""

import time

import numpy as np

from kerasdml import data

SETS = {  # classes, examples
    "many small classes": (11_318, 60_000),
    "few large classes": (100, 60_000),
}


def fastest(run, times=50):
    """The seconds that `run(i)` takes at best, over `times` different i."""
    seconds = []
    for i in range(times):
        start = time.perf_counter()
        run(i)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main():
    rng = np.random.default_rng(0)
    results = []
    for name, (classes, examples) in SETS.items():
        labels = rng.permutation(np.arange(examples) % classes)
        batches = data.balanced_batches(labels, classes=32, per_class=4)
        count = batches.steps * batches.batch_size
        took = fastest(batches)
        shuffle = fastest(lambda _, count=count: rng.permutation(count))
        results.append(
            f"{name} {count / took / 1e6:.1f} M ({took / shuffle:.0f} x a shuffle)"
        )
    print("balanced batches, indices a second: " + ", ".join(results))


if __name__ == "__main__":
    main()
