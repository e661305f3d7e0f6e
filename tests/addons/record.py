"""Writes what TensorFlow Addons gives to `tests/losses/addons_values.json`.

`make test-addons` runs it and fails if the file changes, so that the main tests, which
do without Addons, compare with its values.
"""

import json
import pathlib

from tests.addons import conftest  # noqa: F401  (before Addons is imported)
from tests.addons.batches import LAYOUTS, SEEDS, batch

TARGET = pathlib.Path(__file__).parents[1] / "losses/addons_values.json"


def main():
    import tensorflow_addons as tfa

    theirs = {
        "semi-hard": (tfa.losses.TripletSemiHardLoss(margin=1.0), True),
        "hard": (tfa.losses.TripletHardLoss(margin=1.0), True),
        "hard, soft margin": (tfa.losses.TripletHardLoss(soft=True), True),
        "lifted": (tfa.losses.LiftedStructLoss(), False),
    }
    rows = [
        {
            "loss": name,
            "normalised": normalised,
            "per_class": list(per_class),
            "seed": seed,
            "value": round(float(loss(*batch(seed, normalised, per_class))), 5),
        }
        for name, (loss, normalised) in theirs.items()
        for per_class in LAYOUTS
        for seed in SEEDS
    ]
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    TARGET.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
