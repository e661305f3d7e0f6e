"""Batches of pictures and labels, as a `tf.data.Dataset`."""

import itertools
import os
import warnings

import numpy as np
import tensorflow as tf

from kerasdml.data import files
from kerasdml.data.augment import Augment
from kerasdml.data.labels import check_labels
from kerasdml.data.packs import Pack


def images(
    source,
    labels=None,
    *,
    size,
    batch_size: int = 64,
    batches=None,
    augment=False,
    views: int = 1,
    fields: dict | None = None,
    channels: int | None = None,
    seed: int = 0,
    initial_epoch: int = 0,
    on_error: str = "raise",
) -> tf.data.Dataset:
    """Makes batches of pictures and labels for `fit`, `evaluate` and `predict`.

    With `batches` the data set is endless: epoch after epoch of those batches, for
    `fit`. Its shapes are static, and its attribute `steps_per_epoch` is
    `batches.steps`. Where batches depend on what a callback learned, as those of
    `data.hard_class_batches` and `data.cluster_batches` do, it is one epoch, planned
    anew whenever it begins, which `fit` does for each. Without `batches`, it is one
    pass in the order of `source`, for evaluation; its last batch may be smaller.

    Pictures are resized (bilinear, antialiased, sides independently) and then varied as
    `augment` says. What happens to a picture follows from `seed`, the epoch and its
    position in `source`, whatever batch it is in and wherever training resumes; only
    where a batch holds a picture more than once, each copy is varied differently.

    For training without class labels, such as by `losses.VICReg` or `losses.NTXent`,
    `views=2` puts each picture into its batch twice, varied independently, under a
    label of its own.

    Args:
        source: `(n, h, w)` or `(n, h, w, channels)` uint8 pictures, a list of n paths
            of JPEG, PNG, GIF or BMP files, or a `Pack` of either.
        labels: `(n,)` integers, or `(n, l)` numbers: multi-hot labels, graded ones, or
            a teacher's embeddings. `None` takes those of the pack; where there are
            none, batches hold pictures only. `data.cluster_batches` bring their own.
        size: Height and width of the results, in pixels; one number for a square.
        batch_size: Pictures in a batch, where there are no `batches`.
        batches: What `data.balanced_batches` returns: a callable from the number of an
            epoch to `(steps, b)` positions in `source`, with an attribute `steps`. One
            that changes between epochs has an attribute `changes`, which is true; one
            that brings labels has them in `labels`, `(n,)`.
        augment: `False`, `True` for the defaults of `data.Augment`, an `Augment`, or a
            dict of its arguments.
        views: How often a picture comes in its batch, at least 1, each time varied
            independently, by `seed`, epoch, position and number of the view; they lie
            side by side. From 2 up the label is the position of the picture in
            `source`, in place of any class; batches hold `views` times as many.
        fields: Further arrays of length n by name, for losses that need them.
        channels: 1 for grey, 3 for colour; `None` keeps what there is. Files are taken
            as colour if any of a few of them is.
        seed: Integer, for `augment`.
        initial_epoch: The epoch to start from, at least 0; also `fit`'s.
        on_error: What to do with files that are no whole image: `"raise"` names them;
            `"skip"` warns of them and leaves them out or, where `batches` has planned
            with them, puts others of their class in their places.

    Returns:
        Batches `(images, labels)`, or `(images, {"label": labels, **fields})` with
        `fields`; `images (b, h, w, channels)` float32 from 0 to 255.

    Raises:
        ValueError: If a shape, type, length or range is not as above, if there are two
            kinds of labels, if files cannot be read, or if `on_error="skip"` leaves a
            planned class without pictures.

    Example:

    >>> batches = kerasdml.data.balanced_batches(pack.labels, classes=32, per_class=4)
    >>> train = kerasdml.data.images(pack, size=64, augment=True, batches=batches)
    >>> model.fit(train, epochs=10)

    Without class labels, all pictures once an epoch, in random order:

    >>> order = kerasdml.data.balanced_batches(range(len(paths)), 128, per_class=1)
    >>> train = kerasdml.data.images(
    ...     paths, size=64, augment=True, batches=order, views=2
    ... )
    >>> model = kerasdml.MetricModel(kerasdml.models.Embedder("conv4", dim=64))
    >>> model.compile("adam", loss=kerasdml.losses.NTXent(temperature=0.2))
    >>> model.fit(train, epochs=10)
    """
    _check_views(views, labels)
    own = getattr(batches, "labels", None)
    if own is not None and labels is not None:
        raise ValueError(
            f"`labels` must be None: {type(batches).__name__} brings its own."
        )
    if isinstance(source, Pack):
        labels = source.labels if labels is None else labels
        source = source.images
    labels = labels if own is None else own
    augment = _as_augment(augment)
    size = _as_size(size)
    if batch_size < 1 or initial_epoch < 0:
        raise ValueError(
            "`batch_size` must be at least 1 and `initial_epoch` at least 0. "
            f"Received: batch_size={batch_size}, initial_epoch={initial_epoch}."
        )
    if channels not in (None, 1, 3):
        raise ValueError(f"`channels` must be 1 or 3. Received: channels={channels}.")
    source = _as_source(source)
    classes = labels
    if views > 1:
        # Any picture can stand in for one that cannot be read.
        labels, classes = np.arange(len(source)), np.zeros(len(source), int)
    columns = _columns(labels, fields, len(source))
    positions = _usable(source, classes, batches, on_error)

    def draws(epoch):
        # View after view, so that the first are the same however many there are.
        shape = views, len(source), Augment.DRAWS
        by_view = tf.random.stateless_uniform(shape, (seed, epoch))
        return tf.transpose(by_view, (1, 0, 2))

    if batches is None:
        plan = _one_pass(positions, draws(initial_epoch), batch_size)
    else:
        shape = _check_batches(batches, len(source), initial_epoch)
        plan = _planned(positions, draws, batches, shape, initial_epoch)
        batch_size = shape[1]
    if isinstance(source, np.ndarray):
        dataset = _from_array(source, plan, size, channels)
    else:
        channels = channels or files.channels_of([source[i] for i in positions])
        even = batches is not None
        dataset = _from_files(source, plan, size, channels, batch_size, even)

    def finish(pictures, at, draws):
        pictures, at = tf.repeat(pictures, views, axis=0), tf.repeat(at, views)
        draws = tf.reshape(draws, (-1, Augment.DRAWS))
        if augment:
            pictures = augment(pictures, _turn_repeats(draws, at))
        picked = {name: tf.gather(column, at) for name, column in columns.items()}
        if own is not None:
            picked["label"] = _labels_of(batches, at)
        if not picked:
            return pictures
        return pictures, picked if fields else picked["label"]

    dataset = dataset.map(finish, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    if batches is not None:
        dataset.steps_per_epoch = batches.steps
    return dataset


def _one_pass(positions, draws, batch_size):
    """Batches of positions and their draws, in order."""
    pairs = positions, tf.gather(draws, positions)
    return tf.data.Dataset.from_tensor_slices(pairs).batch(batch_size)


def _planned(positions, draws, batches, shape, initial_epoch):
    """The planned batches of positions and their draws, epoch after epoch.

    Of batches that change, one epoch a pass: no plan is made before its epoch begins.
    """

    def epoch_of(epoch):
        planned = tf.numpy_function(
            lambda e: np.asarray(batches(int(e)), np.int64), [epoch], tf.int64
        )
        at = tf.gather(positions, tf.ensure_shape(planned, shape))
        return at, tf.gather(draws(epoch), at)

    if not getattr(batches, "changes", False):
        epochs = tf.data.Dataset.counter(initial_epoch).map(epoch_of)
        return epochs.prefetch(1).unbatch()
    passes = itertools.count(initial_epoch)

    def next_epoch(_):
        epoch = tf.numpy_function(lambda: np.int64(next(passes)), [], tf.int64)
        return epoch_of(tf.ensure_shape(epoch, ()))

    epoch = tf.data.Dataset.range(1).map(next_epoch).unbatch()
    return epoch.apply(tf.data.experimental.assert_cardinality(shape[0]))


def _labels_of(batches, at):
    """The labels that `batches` have for positions `at (b,)` at this moment."""
    labels = tf.numpy_function(
        lambda at: np.asarray(batches.labels[at], np.int64), [at], tf.int64
    )
    return tf.ensure_shape(labels, at.shape)


def _turn_repeats(draws, at):
    """Draws anew for second and further copies of a picture in a batch.

    Adding a number and dropping the whole part keeps draws evenly spread; multiples of
    square roots of different primes never agree.
    """
    same = tf.cast(at[:, None] == at, tf.float32)
    copies_before = tf.reduce_sum(tf.linalg.band_part(same, -1, 0), axis=1) - 1.0
    turn = np.sqrt([2, 3, 5, 7, 11, 13, 17]).astype("float32")
    return tf.math.floormod(draws + copies_before[:, None] * turn, 1.0)


def _from_array(array, plan, size, channels):
    with tf.device("CPU"):  # not in the memory of an accelerator
        array = tf.constant(array)

    def load(at, draws):
        pictures = _with_channels(tf.gather(array, at), channels)
        if pictures.shape[1:3] == size:
            return tf.cast(pictures, tf.float32), at, draws
        return tf.image.resize(pictures, size, antialias=True), at, draws

    return plan.map(load, tf.data.AUTOTUNE)


def _with_channels(pictures, channels):
    if channels == 3 and pictures.shape[-1] == 1:
        return tf.image.grayscale_to_rgb(pictures)
    if channels == 1 and pictures.shape[-1] == 3:
        return tf.image.rgb_to_grayscale(pictures)
    return pictures


def _from_files(paths, plan, size, channels, batch_size, even):
    """Loads pictures one by one, side by side, and batches them as planned.

    Args:
        even: Whether all batches are of one size, as planned ones are.
    """
    paths = tf.constant(paths)

    def load(at, draws):
        return files.load(paths[at], size, channels), at, draws

    loaded = plan.unbatch().map(load, tf.data.AUTOTUNE)
    # What `unbatch` forgets: how many batches there are, or that there is no end.
    dataset = loaded.batch(batch_size, drop_remainder=even)
    return dataset.apply(tf.data.experimental.assert_cardinality(plan.cardinality()))


def _check_views(views, labels):
    if views < 1:
        raise ValueError(f"`views` must be at least 1. Received: views={views}.")
    if views > 1 and labels is not None:
        raise ValueError(
            "With `views` above 1 the label is the picture's position, and there is no "
            f"room for `labels`: pass them in `fields`. Received: views={views} and "
            "labels."
        )


def _as_augment(augment):
    if augment is None or isinstance(augment, bool):
        return Augment() if augment else None
    if isinstance(augment, dict):
        return Augment(**augment)
    if not isinstance(augment, Augment):
        raise ValueError(
            "`augment` must be a bool, an `Augment`, or a dict of its arguments. "
            f"Received: {augment!r}."
        )
    return augment


def _as_size(size):
    sides = (size, size) if np.ndim(size) == 0 else tuple(size)
    if len(sides) != 2 or not all(side == int(side) and side > 0 for side in sides):
        raise ValueError(
            "`size` must be one positive number of pixels, or (height, width). "
            f"Received: size={size}."
        )
    return int(sides[0]), int(sides[1])


def _as_source(source):
    """A uint8 array with its channels, or a list of paths."""
    if isinstance(source, str | bytes) or np.size(source) == 0:
        raise ValueError(
            "`source` must hold at least one picture: an array, a list of paths, or a "
            f"`Pack`. Received: {source!r}."
        )
    if not isinstance(source, np.ndarray) or source.dtype.kind in "UO":
        return [os.fspath(path) for path in source]
    if source.dtype != np.uint8 or source.ndim not in (3, 4):
        raise ValueError(
            "Pictures must be a uint8 array (n, h, w) or (n, h, w, channels), with "
            f"values from 0 to 255. Received: {source.dtype} of shape {source.shape}."
        )
    return source if source.ndim == 4 else source[..., None]


def _columns(labels, fields, count):
    """What goes beside the pictures, by name; empty if nothing does."""
    if labels is None:
        if fields:
            raise ValueError("`fields` go beside `labels`. Received: labels=None.")
        return {}
    labels = np.asarray(labels)
    # Two axes are multi-hot labels, graded ones, or a teacher's embeddings.
    if labels.ndim != 2 or labels.dtype.kind not in "biuf":
        labels = check_labels(labels).astype(np.int64)
    if "label" in (fields or {}):
        raise ValueError(
            '`fields` must not hold "label", which is the name of `labels`.'
        )
    columns = {"label": labels}
    columns.update((name, np.asarray(field)) for name, field in (fields or {}).items())
    for name, column in columns.items():
        if not column.ndim or len(column) != count:
            raise ValueError(
                f"`{name}` must have one entry for each of the {count} pictures. "
                f"Received: shape {column.shape}."
            )
    return columns


def _check_batches(batches, count, epoch):
    """The shape of an epoch of `batches`, after a look at the first."""
    first = np.asarray(batches(epoch))
    if first.ndim != 2 or first.dtype.kind not in "iu" or len(first) != batches.steps:
        raise ValueError(
            f"`batches({epoch})` must be integers of shape (batches.steps, b), here "
            f"({batches.steps}, b). Received: {first.dtype} of shape {first.shape}."
        )
    if first.min() < 0 or first.max() >= count:
        raise ValueError(
            f"`batches` must choose among the {count} pictures. Received positions "
            f"from {first.min()} to {first.max()}: were they planned for other labels?"
        )
    return first.shape


def _usable(source, labels, batches, on_error):
    """The positions to read: for `batches`, one for each of the planned positions."""
    if on_error not in ("raise", "skip"):
        raise ValueError(
            f'`on_error` must be "raise" or "skip". Received: on_error={on_error!r}.'
        )
    positions = np.arange(len(source))
    bad = [] if isinstance(source, np.ndarray) else files.unreadable(source)
    if not bad:
        return positions
    names = ", ".join(source[i] for i in bad[:5]) + (", …" if len(bad) > 5 else "")
    found = f"{len(bad)} of {len(source)} files hold no whole image: {names}."
    if on_error == "raise":
        raise ValueError(f'{found} `on_error="skip"` leaves such files out.')
    if len(bad) == len(source):
        raise ValueError(f"{found} There is none to go on with.")
    warnings.warn(f"{found} They are left out.", stacklevel=3)
    if batches is None:
        return np.delete(positions, bad)
    return _with_stand_ins(positions, bad, labels)


def _with_stand_ins(positions, bad, labels):
    """`positions` with each of the bad ones replaced by a good one of its class."""
    labels = check_labels(labels)
    positions = positions.copy()
    good = np.delete(positions, bad)
    for turn, at in enumerate(bad):
        same = good[labels[good] == labels[at]]
        if not same.size:
            raise ValueError(
                f"Class {labels[at]} has no readable image left. Drop it from `source` "
                "and `labels` before planning `batches`."
            )
        positions[at] = same[turn % same.size]
    return positions
