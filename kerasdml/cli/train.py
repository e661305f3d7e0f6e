"""Train an embedder, validated and tested on classes that it does not train on.

Test classes are those of the pack, or half of all (--test-fraction). They choose
nothing: of the other classes some are left out of training to validate on, a share of
them (--validation-classes) or one of several folds (--folds, --fold), and the test
classes are measured once, in the end. Writes into DIR, which must be new or empty:

  embedder.keras  the embedder of the epoch with the best val_recall_at_1
  history.json    loss and metrics of each epoch
  logs/           the same for TensorBoard
  test.json       metrics of the test classes

Example:

  kerasdml train photos/ --out runs/photos --epochs 20
"""

import argparse
import inspect
import json

from kerasdml.cli.arguments import DATA, add_option, add_test_fraction
from kerasdml.cli.evaluate import as_lines, default_ks
from kerasdml.cli.outputs import new_folder
from kerasdml.cli.sources import (
    count_classes,
    embed_both,
    queries_and_gallery,
    read_pack,
    rows_of,
)


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
    add_option(
        parser,
        "--validation-classes",
        0.1,
        "share of the classes to train on that are left out to choose the epoch by, "
        "at least 2 classes; 0: none, and the last epoch is kept",
    )
    parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="cut the classes to train on into so many folds, and validate on one "
        "(default: by --validation-classes)",
    )
    add_option(parser, "--fold", 1, "which fold, 1 … N: train on each for N embedders")


def run(args):
    out = new_folder(args.out)
    pack = read_pack(args.data)
    unseen = pack.subset(rows_of(pack, "test", args.test_fraction))
    training, validation = training_and_validation(
        pack.subset(rows_of(pack, "train", args.test_fraction)), args
    )

    import keras

    keras.utils.set_random_seed(args.seed)
    images, num_classes = _batches(args, training)
    model = _model(args, images.element_spec[0].shape[1:], num_classes, validation)
    print(
        f"Training on {_count(training)}, validating on {_count(validation)}, and in "
        f"the end testing on {_count(unseen)}, all different."
    )
    path = out / "embedder.keras"
    callbacks = [keras.callbacks.TensorBoard(out / "logs")]
    if validation is not None:
        callbacks.insert(0, best_embedder(path))
    history = model.fit(
        images,
        epochs=args.epochs,
        validation_data=_in_order(validation, model.embedder.input_shape),
        callbacks=callbacks,
    ).history
    (out / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    if validation is None:
        model.embedder.save(path)
    print(_summary(path, history, args.epochs))
    scores = _test(path, unseen, default_ks(args.data))
    (out / "test.json").write_text(json.dumps(scores, indent=2) + "\n")
    print(f"On {_count(unseen)} that chose nothing:")
    print(as_lines(scores))


def training_and_validation(pack, args):
    """Returns what to train on and, of other classes, what to validate on, or None."""
    from kerasdml import data

    if args.folds is not None:
        if not 1 <= args.fold <= args.folds:
            raise ValueError(
                f"--fold must be from 1 to --folds, {args.folds}. "
                f"Received: {args.fold}."
            )
        folds = data.class_disjoint_folds(pack.labels, args.folds)
        return tuple(pack.subset(rows) for rows in folds[args.fold - 1])
    if args.fold != 1:
        raise ValueError(f"--fold needs --folds. Received: --fold {args.fold} alone.")
    if args.validation_classes == 0:
        return pack, None
    if not 0 < args.validation_classes < 1:
        raise ValueError(
            "--validation-classes must be at least 0 and below 1. "
            f"Received: {args.validation_classes}."
        )
    if count_classes(pack) < 4:
        raise ValueError(
            f"DATA has {count_classes(pack)} classes to train on, too few to leave out "
            "2 to validate on. --validation-classes 0 trains on all of them."
        )
    share = max(args.validation_classes, 2 / count_classes(pack))
    return tuple(
        pack.subset(rows) for rows in data.class_disjoint_split(pack.labels, share)
    )


def _count(pack):
    if pack is None:
        return "nothing"
    return f"{len(pack)} images of {count_classes(pack)} classes"


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

    if pack is None:
        return None
    _, height, width, channels = input_shape
    return data.images(pack, size=(height, width), channels=channels)


def _model(args, image_shape, num_classes, validation):
    """The compiled model."""
    import keras

    from kerasdml import models

    embedder = models.Embedder(
        args.backbone, args.dim, weights=args.weights, input_shape=tuple(image_shape)
    )
    # An image has one other less than there are images: longer lists do not exist.
    ks = [k for k in (1, 10) if validation is None or k < len(validation)]
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


def _summary(path, history, epochs):
    recalls = history.get("val_recall_at_1")
    if recalls is None:
        return f"{path} is the embedder of epoch {epochs}, the last."
    best = max(recalls)
    return (
        f"{path} is the embedder of epoch {recalls.index(best) + 1}, chosen by "
        f"val_recall_at_1 = {best:.4f}."
    )


def _test(path, pack, ks):
    """Returns the metrics of the embedder at `path` on the images of a pack."""
    import keras

    from kerasdml import metrics

    queries, gallery = queries_and_gallery(pack)
    embedder = keras.saving.load_model(path)
    reach = len(pack) - 1 if gallery is None else len(gallery)
    return metrics.evaluate(
        *embed_both(embedder, queries, gallery), ks=[k for k in ks if k <= reach]
    )
