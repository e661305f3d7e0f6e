"""Trains conv4 with Multi-Similarity on Omniglot's background set.

    python zoo/conv4.multi_similarity_omniglot/train.py omniglot.npz --out runs/omniglot

The 964 characters of the background set, each turned by 0, 90, 180 and 270 degrees into
a class of its own (Santoro et al. 2016), in batches of 32 classes × 4 drawings, with
small affine distortions. The last weights are kept: no split chooses a checkpoint. The
659 characters of the evaluation set are embedded once, at the end.

`--publish` puts the weights and the card into the package, a row into `zoo/results.csv`
and the servable into `saved_models/`.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import shutil
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import kerasdml
from kerasdml.zoo.cards import WEIGHTS, Card, Input, fingerprint, write_card

NAME = "conv4.multi_similarity_omniglot"
ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE, DIM = 32, 128
# Drawings of each unseen character in the servable's index.
INDEXED = 5


def main():
    arguments = parse()
    keras.utils.set_random_seed(arguments.seed)
    background, evaluation = load(arguments.data)
    start = time.time()
    embedder = train(background, arguments)
    found = evaluate(embedder, evaluation)
    row = {
        "name": NAME,
        "recipe": f"zoo/{NAME}/train.py",
        "seed": arguments.seed,
        "data_set": "Omniglot, 13,180 drawings of 659 characters",
        "split": "official evaluation set; no split chose the checkpoint",
        "steps": arguments.epochs * arguments.steps,
        "seconds": round(time.time() - start),
        "recall_at_1": round(found["recall_at_1"], 4),
        "recall_at_10": round(found["recall_at_10"], 4),
        "r_precision": round(found["r_precision"], 4),
        "map_at_r": round(found["map_at_r"], 4),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": f"tensorflow {tf.__version__}, keras {keras.__version__}",
        "date": datetime.date.today().isoformat(),
        "figures": "",  # of other kinds; there are none
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    embedder.save(arguments.out / f"{NAME}.keras")
    (arguments.out / "result.json").write_text(json.dumps(row, indent=2) + "\n")
    print(json.dumps(row, indent=2))
    if arguments.publish:
        publish(arguments.out, row, evaluation)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path, help="omniglot.npz")
    parser.add_argument("--out", type=pathlib.Path, default=f"runs/{NAME}")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=250, help="steps an epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--publish", action="store_true")
    return parser.parse_args()


def load(path):
    """Returns the packs of the background and of the evaluation set."""
    pack = kerasdml.data.load_pack(path)
    return (pack.subset(np.flatnonzero(pack.split == part)) for part in (0, 1))


def train(background, arguments):
    images, labels = with_rotations(background)
    batches = kerasdml.data.balanced_batches(
        labels, classes=32, per_class=4, seed=arguments.seed
    )
    data = kerasdml.data.images(
        images,
        labels,
        size=SIZE,
        batches=batches,
        augment=kerasdml.data.Augment(
            flip=False,
            scale=(0.85, 1.15),
            shift=0.05,
            rotate=15,
            shear=10,
            outside="black",
        ),
        seed=arguments.seed,
    )
    embedder = kerasdml.models.Embedder(
        "conv4", dim=DIM, pooling="avg+max", input_shape=(SIZE, SIZE, 1), name="conv4"
    )
    model = kerasdml.MetricModel(embedder)
    steps = arguments.epochs * arguments.steps
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(2e-3, steps), weight_decay=1e-4
        ),
        loss=kerasdml.losses.MultiSimilarity(miner=kerasdml.miners.MultiSimilarity()),
    )
    model.fit(data, epochs=arguments.epochs, steps_per_epoch=arguments.steps)
    return embedder


def with_rotations(pack):
    """Makes each class four: turned by 0, 90, 180 and 270 degrees."""
    images = np.concatenate([np.rot90(pack.images, turn, (1, 2)) for turn in range(4)])
    labels = np.concatenate([4 * pack.labels + turn for turn in range(4)])
    return images, kerasdml.data.encode(labels)


def evaluate(embedder, pack):
    images = kerasdml.data.images(pack, size=SIZE, batch_size=256)
    embeddings, labels = kerasdml.models.embed(embedder, images)
    return kerasdml.metrics.retrieval(embeddings, labels)


def publish(out, row, evaluation):
    file = f"{NAME}.keras"
    shutil.copy(out / file, WEIGHTS / file)
    write_card(card(row, file))
    results = ROOT / "zoo/results.csv"
    new = not results.exists()
    with results.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, row, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
    shutil.rmtree(ROOT / "saved_models" / NAME, ignore_errors=True)
    kerasdml.export.saved_model(
        kerasdml.zoo.load(NAME),
        ROOT / "saved_models" / NAME,
        index=index(kerasdml.zoo.load(NAME), evaluation),
    )


def card(row, file):
    figures = ("recall_at_1", "recall_at_10", "r_precision", "map_at_r")
    return Card(
        name=NAME,
        description=(
            "Handwritten characters of any alphabet, white strokes on black; small "
            "enough for a CPU."
        ),
        file=file,
        **fingerprint(WEIGHTS / file),
        architecture="conv4",
        dim=DIM,
        input=Input(size=(SIZE, SIZE), channels=1, scale=1 / 255),
        similarity="cosine",
        metrics={
            "data_set": row["data_set"],
            "split": row["split"],
            "seeds": 1,
            **{name: row[name] for name in figures},
        },
        recipe=f"zoo/{NAME}/train.py",
        data_licence="MIT (Omniglot, Copyright (c) 2015 Brenden Lake)",
        weights_licence="Apache-2.0",
        versions={"tensorflow": tf.__version__, "keras": keras.__version__},
    )


def index(embedder, evaluation):
    """Indexes the first drawings of each unseen character."""
    drawers = np.arange(len(evaluation)) % 20
    pack = evaluation.subset(np.flatnonzero(drawers < INDEXED))
    images = kerasdml.data.images(pack, size=SIZE, batch_size=256)
    embeddings, labels = kerasdml.models.embed(embedder, images)
    names = np.asarray(pack.class_names)[labels]
    numbers = np.arange(len(pack)) % INDEXED + 1
    ids = [f"{name}/{number:02d}" for name, number in zip(names, numbers, strict=True)]
    return kerasdml.index.Exact.build(embeddings, ids=ids, labels=names)


if __name__ == "__main__":
    main()
