"""Size and recall of an embedder in Keras, LiteRT and ONNX, on characters of Omniglot.

Beside the file's size is `export.Converted.error` on 128 images of characters that were
trained on, of which int8 also has the ranges of its activations. Needs the extra
`onnx`:

    python benchmarks/conversion.py omniglot.npz
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import kerasdml
from kerasdml import export

NAME = "conv4.multi_similarity_omniglot"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path, help="omniglot.npz")
    parser.add_argument("--model", default=NAME, help="as for kerasdml.zoo.load")
    args = parser.parse_args()
    embedder = kerasdml.zoo.load(args.model)
    size = embedder.input_shape[1]
    images, labels = read(args.data, size, split=1)
    # Real images: quantisation loses less on these than on noise.
    some, _ = read(args.data, size, split=0, count=128)
    show("Keras, float32", "", "", embedder.predict(images, verbose=0), labels)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for number in (None, "float16", "dynamic", "int8"):
            file = folder / f"{number}.tflite"
            found = export.lite_rt(embedder, file, quantize=number, images=some)
            row(f"LiteRT, {number or 'float32'}", found, images, labels)
        found = export.onnx(embedder, folder / "embedder.onnx", images=some)
        row("ONNX, float32", found, images, labels)


def read(path, size, split, count=None):
    """Images and labels of a part of the pack, or of `count` spread over it."""
    pack = kerasdml.data.load_pack(path)
    rows = np.flatnonzero(pack.split == split)
    if count is not None:
        rows = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
    pack = pack.subset(rows)
    batches = kerasdml.data.images(pack, size=size, batch_size=256)
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def row(name, converted, images, labels):
    embeddings = export.predict(converted.path, images)
    size, error = f"{converted.size / 1000:.0f} kB", f"{converted.error:.0e}"
    show(name, size, error, embeddings, labels)


def show(name, size, error, embeddings, labels):
    found = kerasdml.metrics.retrieval(
        embeddings, labels, metrics=("recall_at_k", "map_at_r"), ks=(1,)
    )
    figures = "  ".join(
        f"{metric} {found[metric]:.4f}" for metric in ("recall_at_1", "map_at_r")
    )
    print(f"{name:<16} {size:>7} {error:>6}  {figures}", flush=True)


if __name__ == "__main__":
    main()
