"""Find the nearest items of an exported index.

PATH is what kerasdml export wrote with an index: the newest version in it is used, or
the one that PATH names.

Example:

  kerasdml search saved_models/photos bird.jpg -k 3
"""

import json


def add_arguments(parser):
    parser.add_argument("path", metavar="PATH", help="exported model")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="JPEG or PNG file")
    parser.add_argument(
        "-k", type=int, help="neighbours (default: as many as were exported)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    from kerasdml.serving.encoding import encode_images
    from kerasdml.serving.versions import latest

    version, encoded = latest(args.path), encode_images(args.images)

    import numpy as np

    from kerasdml.serving.model import ServedModel

    model = ServedModel(version)
    found = model.predict(
        model.signature("search"), {"image_bytes": np.array(encoded, dtype=object)}
    )
    results = [
        {"image": image, "neighbours": neighbours}
        for image, neighbours in zip(
            args.images, _neighbours(found, args.k), strict=True
        )
    ]
    print(json.dumps(results, indent=2) if args.json else _table(results))


def _neighbours(found, k):
    """The outputs of a search as one list of neighbours a query, nearest first."""
    exported = found["scores"].shape[1]
    if k is not None and not 1 <= k <= exported:
        raise ValueError(
            f"-k must be from 1 to {exported}, the number of neighbours that the model "
            f"was exported with. Received: {k}."
        )
    names = [name for name in ("id", "label", "score") if f"{name}s" in found]
    outputs = [found[f"{name}s"][:, :k].tolist() for name in names]
    return [
        [
            {name: _plain(x) for name, x in zip(names, item, strict=True)}
            for item in zip(*rows, strict=True)
        ]
        for rows in zip(*outputs, strict=True)
    ]


def _plain(value):
    """Text for the bytes that TensorFlow has in its place."""
    return value.decode() if isinstance(value, bytes) else value


def _table(results):
    lines = []
    for result in results:
        lines.append(result["image"])
        for rank, item in enumerate(result["neighbours"], start=1):
            label = f"  {item['label']}" if "label" in item else ""
            lines.append(f"{rank:>4}  {item['score']:8.4f}  {item['id']}{label}")
    return "\n".join(lines)
