"""Train an embedder, validated on classes that it does not train on.

Test classes are those of the pack, or half of all (--test-fraction). Writes into DIR,
which must be new or empty:

  embedder.keras  the embedder of the epoch with the best val_recall_at_1
  history.json    loss and metrics of each epoch
  logs/           the same for TensorBoard

Example:

  kerasdml train photos/ --out runs/photos --epochs 20
"""

import argparse
import inspect
import json

from kerasdml.cli.arguments import DATA, add_option, add_test_fraction
from kerasdml.cli.outputs import new_folder
from kerasdml.cli.sources import count_classes, read_pack, rows_of


def add_arguments(parser):
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--out", metavar="DIR", required=True, help="folder to write")
    add_option(
        parser, "--backbone", "conv4", "conv4, or a network of keras.applications"
    )
    add_option(parser, "--dim", 128, "embedding size")
    add_option(parser, "--size", 64, "height and width that images are resized to")
    add_option(
        parser,
        "--loss",
        "multi_similarity",
        "a loss of kerasdml.losses, by the name of its file",
    )
    parser.add_argument(
        "--classes",
        type=int,
        help="classes in a batch (default: 32, or all where there are fewer)",
    )
    add_option(parser, "--per-class", 4, "images of each class in a batch")
    add_option(parser, "--epochs", 10, "passes over the training images")
    add_option(parser, "--lr", 1e-3, "learning rate of Adam")
    parser.add_argument(
        "--weights",
        metavar="WEIGHTS",
        help="of the backbone: imagenet, or a path (default: random)",
    )
    add_option(parser, "--seed", 0, "of weights, batches and augmentation")
    parser.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="vary the training images (default: yes)",
    )
    add_test_fraction(parser)


def run(args):
    out = new_folder(args.out)
    pack = read_pack(args.data)
    training = pack.subset(rows_of(pack, "train", args.test_fraction))
    unseen = pack.subset(rows_of(pack, "test", args.test_fraction))

    import keras

    keras.utils.set_random_seed(args.seed)
    images, num_classes = _batches(args, training)
    model = _model(args, images.element_spec[0].shape[1:], num_classes, len(unseen))
    print(
        f"Training on {len(training)} images of {num_classes} classes, validating on "
        f"{len(unseen)} images of {count_classes(unseen)} other classes."
    )
    history = model.fit(
        images,
        epochs=args.epochs,
        validation_data=_in_order(unseen, model.embedder.input_shape),
        callbacks=[
            best_embedder(out / "embedder.keras"),
            keras.callbacks.TensorBoard(out / "logs"),
        ],
    ).history
    (out / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    print(_summary(out / "embedder.keras", history["val_recall_at_1"]))


def _batches(args, pack):
    """The endless training images, and the number of their classes."""
    from kerasdml import data

    labels, classes = data.encode(pack.labels, return_classes=True)
    batches = data.balanced_batches(
        labels,
        classes=args.classes or min(len(classes), _default_classes()),
        per_class=args.per_class,
        seed=args.seed,
    )
    images = data.images(
        pack,
        labels,
        size=args.size,
        batches=batches,
        augment=args.augment,
        seed=args.seed,
    )
    return images, len(classes)


def _default_classes():
    from kerasdml import data

    return inspect.signature(data.balanced_batches).parameters["classes"].default


def _in_order(pack, input_shape):
    from kerasdml import data

    _, height, width, channels = input_shape
    return data.images(pack, size=(height, width), channels=channels)


def _model(args, image_shape, num_classes, num_validated):
    """The compiled model."""
    import keras

    from kerasdml import models

    embedder = models.Embedder(
        args.backbone, args.dim, weights=args.weights, input_shape=tuple(image_shape)
    )
    # An image has one other less than there are images: longer lists do not exist.
    ks = [k for k in (1, 10) if k < num_validated]
    model = models.MetricModel(embedder, ks=ks)
    model.compile(keras.optimizers.Adam(args.lr), loss=_loss(args.loss, num_classes))
    return model


def _loss(name, num_classes):
    """The loss of the file of that name, such as multi_similarity.

    It is one that images and their classes suffice for: no sum of others, none of two
    views or of two modalities.
    """
    from kerasdml import losses

    known = [getattr(losses, name) for name in losses.__all__]
    known = [x for x in known if issubclass(x, (losses.PairLoss, losses.ClassLoss))]
    known = {loss.__module__.rpartition(".")[2]: loss for loss in known}
    if name not in known:
        raise ValueError(f"Unknown loss {name!r}. Losses: {', '.join(sorted(known))}.")
    has_proxies = "num_classes" in inspect.signature(known[name]).parameters
    return known[name](num_classes=num_classes) if has_proxies else known[name]()


def best_embedder(path):
    """Returns a callback that saves the embedder inside the model when it is the best.

    The best has the highest `val_recall_at_1`; of equals, the first.
    """
    import keras

    class BestEmbedder(keras.callbacks.ModelCheckpoint):
        def set_model(self, model):
            super().set_model(model.embedder)

    return BestEmbedder(
        path, monitor="val_recall_at_1", mode="max", save_best_only=True
    )


def _summary(path, recalls):
    best = max(recalls)
    return (
        f"{path} is the embedder of epoch {recalls.index(best) + 1}, chosen by "
        f"val_recall_at_1 = {best:.4f} on the test classes: figures on the same "
        "classes flatter it a little."
    )
