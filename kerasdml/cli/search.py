"""Find the nearest items of an exported index.

PATH is what kerasdml export wrote with an index: the newest version in it is used, or
the one that PATH names. Or it is where a server has such a model, as in
http://127.0.0.1:8501/v1/models/photos or grpc://127.0.0.1:8500/photos. If the model was
exported with a calibration, --match tells of each neighbour whether it is similar
enough to be of the same class.

Example:

  kerasdml search saved_models/photos bird.jpg -k 3
"""

import json
import pathlib
import urllib.parse

_VERDICTS = {None: "", True: "match     ", False: "no match  "}


def add_arguments(parser):
    parser.add_argument("path", metavar="PATH", help="exported model, or its URL")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="JPEG or PNG file")
    parser.add_argument(
        "-k", type=int, help="neighbours (default: as many as were exported)"
    )
    parser.add_argument(
        "--match",
        nargs="?",
        const="best_f1",
        type=_cut_point,
        metavar="CUTPOINT",
        help="best_f1, best_accuracy, equal_error or a false-match rate of the "
        "calibration (default without one: %(const)s)",
    )
    parser.add_argument(
        "--token-file", type=pathlib.Path, help="file of the secret a server asks for"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    from kerasdml.serving.encoding import encode_images

    encoded = encode_images(args.images)
    signature, inputs = "search", {"image_bytes": encoded}
    if args.match is not None:
        cut_points = [args.match.encode()] * len(encoded)
        signature, inputs = "match", inputs | {"cut_point": cut_points}
    search = _asked if "://" in args.path else _loaded
    found = search(args, signature, inputs)
    results = [
        {"image": image, "neighbours": neighbours}
        for image, neighbours in zip(
            args.images, _neighbours(found, args.k), strict=True
        )
    ]
    print(json.dumps(results, indent=2) if args.json else _table(results))


def _loaded(args, signature, inputs):
    """The outputs of a signature of the model in a directory."""
    from kerasdml.serving.versions import latest

    version = latest(args.path)

    import numpy as np

    from kerasdml.serving.model import ServedModel

    model = ServedModel(version)
    arrays = {name: np.array(values, object) for name, values in inputs.items()}
    return model.predict(model.signature(signature), arrays)


def _asked(args, signature, inputs):
    """The outputs of a signature of the model on a server."""
    import numpy as np

    from kerasdml.serving import Client

    parts = urllib.parse.urlsplit(args.path)
    home, _, name = parts.path.rstrip("/").rpartition("/")
    server = parts._replace(path=home.removesuffix("/v1/models")).geturl()
    token = args.token_file and args.token_file.read_text().strip()
    with Client(server, urllib.parse.unquote(name), token=token) as client:
        found = client.predict(inputs=inputs, signature_name=signature)
    return {output: np.array(rows) for output, rows in found.items()}


def _cut_point(word):
    """The name of a cut-point as the model has it: that of 1e-3 is 0.001."""
    try:
        return str(float(word))
    except ValueError:
        return word


def _neighbours(found, k):
    """The outputs of a search as one list of neighbours a query, nearest first."""
    exported = found["scores"].shape[1]
    if k is not None and not 1 <= k <= exported:
        raise ValueError(
            f"-k must be from 1 to {exported}, the number of neighbours that the model "
            f"was exported with. Received: {k}."
        )
    plurals = {"id": "ids", "label": "labels", "score": "scores", "match": "matches"}
    plurals["metadata"] = "metadata"
    names = [name for name, plural in plurals.items() if plural in found]
    outputs = [found[plurals[name]][:, :k].tolist() for name in names]
    return [
        [
            {name: _plain(name, x) for name, x in zip(names, item, strict=True)}
            for item in zip(*rows, strict=True)
        ]
        for rows in zip(*outputs, strict=True)
    ]


def _plain(name, value):
    """What JSON text says, and text for the bytes that TensorFlow has in its place."""
    if name == "metadata":
        return json.loads(value)
    return value.decode() if isinstance(value, bytes) else value


def _table(results):
    lines = []
    for result in results:
        lines.append(result["image"])
        for rank, item in enumerate(result["neighbours"], start=1):
            verdict = _VERDICTS[item.get("match")]
            label = f"  {item['label']}" if "label" in item else ""
            lines.append(
                f"{rank:>4}  {item['score']:8.4f}  {verdict}{item['id']}{label}"
            )
    return "\n".join(lines)
