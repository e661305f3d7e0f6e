"""The whole path on the built-in data: train, evaluate, export, serve, search.

`make demo` runs it in an environment of its own; with kerasdml[serve] installed,
`python demo/demo.py` does. Everything it writes lies beside this file.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import io
import pathlib
import shutil
import time

import keras
import numpy as np
from PIL import Image

import kerasdml

HERE = pathlib.Path(__file__).parent
SERVABLE = HERE / "servable" / "glyphs"
LOGS = HERE / "logs"
SIZE, DIM, EPOCHS = 32, 64, 8


def main():
    start = time.time()
    for folder in (SERVABLE.parent, LOGS):
        shutil.rmtree(folder, ignore_errors=True)
    keras.utils.set_random_seed(0)

    print("1. Data: characters in many typefaces, split by character.")
    pack = kerasdml.data.glyphs(size=SIZE)
    train = pack.subset(np.flatnonzero(pack.split == 0))
    test = pack.subset(np.flatnonzero(pack.split == 1))
    print(f"   {describe(train)} to train on, {describe(test)} never seen in training.")

    print(
        "2. Training. Validation is retrieval among a third of the unseen characters."
    )
    embedder = kerasdml.models.Embedder("conv4", dim=DIM, input_shape=(SIZE, SIZE, 1))
    validation = arrays(first_classes(test, 1 / 3))
    untrained = retrieval(embedder, test)
    fit(embedder, train, validation, test)

    print("3. Retrieval among all characters never seen in training:")
    table(
        {
            "raw pixels": kerasdml.metrics.retrieval(
                pixels(test).reshape(len(test), -1), test.labels
            ),
            "untrained network": untrained,
            "trained network": retrieval(embedder, test),
        }
    )

    print("4. Export: one SavedModel with the network, a ScaNN index, ids and labels.")
    gallery, queries = gallery_and_queries(test)
    path = export(embedder, gallery)
    print(f"   {path.relative_to(HERE.parent)}, {megabytes(path):.1f} MB")

    print("5. Serving: a client sends one image to the local server.")
    middle = len(queries) // 2
    image = pixels(queries)[middle, :, :, 0].astype("uint8")
    ask(image, queries.class_names[queries.labels[middle]])

    minutes = (time.time() - start) / 60
    print(
        f"\nDone in {minutes:.1f} minutes. demo/neighbours.png shows neighbours of ten"
    )
    print(
        "queries, right ones framed green, wrong ones red. What you would run next:\n"
    )
    print("  .venv/bin/tensorboard --logdir demo/logs")
    print("  .venv/bin/kerasdml serve demo/servable/glyphs")
    print("  .venv/bin/kerasdml train FOLDER_OF_CLASSES --out runs/first")


def fit(embedder, train, validation, test):
    """Trains the embedder, with logs and pictures for people to look at."""
    batches = kerasdml.data.balanced_batches(
        train.labels, classes=32, per_class=4, seed=0
    )
    images = kerasdml.data.images(
        train,
        size=SIZE,
        batches=batches,
        augment=kerasdml.data.Augment(
            flip=False,
            scale=(0.9, 1.1),
            shift=0.05,
            rotate=10,
            shear=5,
            outside="black",
        ),
    )
    model = kerasdml.MetricModel(embedder)
    model.compile(
        keras.optimizers.Adam(2e-3),
        loss=kerasdml.losses.MultiSimilarity(miner=kerasdml.miners.MultiSimilarity()),
    )
    shown = arrays(first_classes(test, 1 / 6))
    model.fit(
        images,
        epochs=EPOCHS,
        validation_data=validation,
        callbacks=[
            keras.callbacks.TensorBoard(LOGS),
            kerasdml.callbacks.Projector(LOGS, shown, class_names=test.class_names),
            kerasdml.callbacks.Neighbours(
                HERE / "neighbours.png",
                shown,
                class_names=test.class_names,
                queries=10,
                log_dir=LOGS,
                every_n_epochs=EPOCHS,
            ),
        ],
    )


def export(embedder, gallery):
    """Writes the servable and returns the path of its version."""
    index = kerasdml.index.Scann.build(
        embedder.predict(pixels(gallery), batch_size=256, verbose=0),
        ids=[f"image {i}" for i in range(len(gallery))],
        labels=np.asarray(gallery.class_names)[gallery.labels],
    )
    return kerasdml.export.saved_model(embedder, SERVABLE, index=index, k=10)


def ask(image, name):
    """Starts the server, sends it the image as a PNG, and prints what comes back."""
    png = io.BytesIO()
    Image.fromarray(image).save(png, "png")
    with kerasdml.serving.start(SERVABLE) as server:
        client = kerasdml.serving.Client(server.url, server.name)
        (neighbours,) = client.search([png.getvalue()], k=5)
    print(f"   The query is {name}. Its five nearest items:")
    for neighbour in neighbours:
        print(f"   {neighbour.score:.3f}  {neighbour.label}  ({neighbour.id})")


def retrieval(embedder, pack):
    embeddings = embedder.predict(pixels(pack), batch_size=256, verbose=0)
    return kerasdml.metrics.retrieval(embeddings, pack.labels)


def table(rows):
    print(f"   {'':<18} recall@1  recall@10  MAP@R")
    for name, found in rows.items():
        print(
            f"   {name:<18} {found['recall_at_1']:8.3f}  {found['recall_at_10']:9.3f}"
            f"  {found['map_at_r']:5.3f}"
        )


def gallery_and_queries(pack):
    """Takes one image a class as a query; the rest are to be found."""
    _, first = np.unique(pack.labels, return_index=True)
    return pack.subset(np.setdiff1d(np.arange(len(pack)), first)), pack.subset(first)


def first_classes(pack, fraction):
    classes = np.unique(pack.labels)
    chosen = classes[: int(len(classes) * fraction)]
    return pack.subset(np.flatnonzero(np.isin(pack.labels, chosen)))


def arrays(pack):
    return pixels(pack), pack.labels


def pixels(pack):
    return np.reshape(pack.images, (len(pack), SIZE, SIZE, 1)).astype("float32")


def describe(pack):
    return f"{len(pack):,} images of {len(np.unique(pack.labels))} characters"


def megabytes(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6


if __name__ == "__main__":
    main()
