"""What each loss reaches on unseen characters of the built-in data, all trained alike.

One recipe, tuned for none: conv4 at 32 × 32, 64 numbers, 600 steps of Adam on batches
of 32 classes × 4, no augmentation. Losses of raw embeddings train and compare them
raw, by their own similarity. The last weights are measured, once, on the unseen half:

    python benchmarks/recall.py --csv benchmarks/results/recall.csv
"""

import argparse
import csv
import datetime
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import kerasdml
from kerasdml import losses, miners

SIZE, DIM = 32, 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--csv", type=pathlib.Path, help="file to write the rows to")
    args = parser.parse_args()
    pack = kerasdml.data.glyphs(size=SIZE)
    train = pack.subset(np.flatnonzero(pack.split == 0))
    unseen = pack.subset(np.flatnonzero(pack.split == 1))
    rows = []
    for seed in args.seeds:
        for name, loss in each_loss(len(np.unique(train.labels))):
            row = measure(name, loss, train, unseen, seed, args.steps)
            print(f"{name:<24} seed {seed}  recall@1 {row['recall_at_1']:.3f}", end="")
            print(f"  MAP@R {row['map_at_r']:.3f}", flush=True)
            rows.append(row)
    if args.csv:
        write(args.csv, rows)


def each_loss(num_classes):
    """Yields the name and the loss, with its defaults."""
    yield "Contrastive", losses.Contrastive()
    for negatives in ("all", "semi_hard", "hard"):
        yield f"Triplet, {negatives}", losses.Triplet(negatives=negatives)
    yield "MultiSimilarity", losses.MultiSimilarity()
    miner = miners.MultiSimilarity()
    yield "MultiSimilarity, mined", losses.MultiSimilarity(miner=miner)
    yield "LiftedStructure", losses.LiftedStructure()
    yield "NPairs", losses.NPairs()
    for name in ("ProxyNCA", "ProxyAnchor", "ArcFace"):
        yield name, getattr(losses, name)(num_classes=num_classes)


def measure(name, loss, train, unseen, seed, steps):
    keras.utils.set_random_seed(seed)
    labels = kerasdml.data.encode(train.labels)
    batches = kerasdml.data.balanced_batches(labels, seed=seed)
    images = kerasdml.data.images(train.images, labels, size=SIZE, batches=batches)
    similarity = getattr(loss, "similarity", "cosine")
    embedder = kerasdml.models.Embedder(
        "conv4",
        dim=DIM,
        input_shape=(SIZE, SIZE, 1),
        normalize=similarity == "cosine",
    )
    model = kerasdml.MetricModel(embedder, similarity=similarity)
    model.compile(keras.optimizers.Adam(2e-3), loss=loss)
    model.fit(images, steps_per_epoch=steps, verbose=0)
    found = model.evaluate(
        kerasdml.data.images(unseen, size=SIZE, batch_size=256),
        verbose=0,
        return_dict=True,
    )
    return {
        "loss": name,
        "seed": seed,
        "steps": steps,
        "similarity": similarity,
        "recall_at_1": round(found["recall_at_1"], 4),
        "recall_at_10": round(found["recall_at_10"], 4),
        "map_at_r": round(found["map_at_r"], 4),
    }


def write(path, rows):
    """Writes the rows, each with what it was measured with."""
    made_with = {
        "data_set": "unseen half of data.glyphs(size=32); no split chose a checkpoint",
        "kerasdml": kerasdml.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "date": datetime.date.today().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], *made_with], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **made_with} for row in rows)


if __name__ == "__main__":
    main()
