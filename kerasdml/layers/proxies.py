"""Learned points that stand for classes."""

import numbers

import keras
import numpy as np


def check_num_classes(num_classes):
    """Returns `num_classes` as an `int`, or raises a `ValueError` if it is below 2."""
    if not isinstance(num_classes, numbers.Integral) or num_classes < 2:
        raise ValueError(
            "`num_classes` must be an integer of at least 2: a class needs others "
            f"to differ from. Received: num_classes={num_classes!r}."
        )
    return int(num_classes)


def check_per_class(per_class):
    """Returns `per_class` as an `int`, or raises a `ValueError` if it is below 1."""
    if not isinstance(per_class, numbers.Integral) or per_class < 1:
        raise ValueError(
            "`per_class` must be an integer of at least 1, the points that each class "
            f"has. Received: per_class={per_class!r}."
        )
    return int(per_class)


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class Proxies(keras.layers.Layer):
    """Learned points for each class, in the space of the embeddings.

    The points are kept in float32 whatever the dtype policy. An optimizer tells them
    apart by their path, such as `proxy_anchor/proxies/points`.

    Args:
        num_classes: Number of classes, at least 2.
        initializer: How the points are drawn; a Keras initializer or its name. Losses
            use their direction alone, so the scale only sets how far one step of the
            optimizer turns them.
        name: Name of the layer.
        regularizer: Keras regularizer of the points, its name, or `None`.
        per_class: Points a class has, at least 1. Those of class c are the rows
            `c * per_class` … `(c + 1) * per_class - 1`.

    Raises:
        ValueError: If `num_classes` is not an integer of at least 2, or `per_class` of
            at least 1.
    """

    def __init__(
        self,
        num_classes,
        initializer="random_normal",
        name="proxies",
        *,
        regularizer=None,
        per_class=1,
    ):
        super().__init__(name=name, dtype="float32")
        self.num_classes = check_num_classes(num_classes)
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)
        self.per_class = check_per_class(per_class)

    def build(self, dim):
        """Creates `points (num_classes * per_class, dim)`."""
        self.points = self.add_weight(
            name="points",
            shape=(self.num_classes * self.per_class, dim),
            initializer=self.initializer,
            regularizer=self.regularizer,
            autocast=False,
        )
        self.built = True

    def imprint(self, labels, embeddings, mode="append"):
        """Makes the points of classes from examples, without any training.

        The point of a class becomes the sum of its examples' embeddings, each scaled to
        length 1, so that its direction is that of their mean, and further examples can
        be added later. Losses use directions alone; but the longer a point is, the less
        training turns it: before training goes on, lengths can be made equal by
        `points.assign(kerasdml.ops.normalize(points))`.

        Args:
            labels: `(n,)` class ids of the examples.
            embeddings: `(n, d)` of the examples, finite.
            mode: What becomes of the points: "append", there are further classes, from
                `num_classes` on, none of them without an example; "overwrite", those of
                classes that have examples are made anew; "accumulate", examples are
                added to those that these points were made of, in any order.

        Returns:
            The layer with the points: this one or, since a layer's shape cannot change,
            for "append" a new one. Its other points are the same to the last bit.

        Raises:
            ValueError: If the layer is not built or has several points a class, if
                arguments are not as above, or if the examples of a class cancel out.

        Source: Qi et al., "Low-Shot Learning with Imprinted Weights", CVPR 2018,
        https://arxiv.org/abs/1712.07136.
        """
        labels, embeddings = self._checked_examples(labels, embeddings, mode)
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        units = embeddings / np.where(lengths > 0, lengths, 1.0)
        count = max(self.num_classes, labels.max() + 1)
        points = np.zeros((count, units.shape[1]))
        points[: self.num_classes] = keras.ops.convert_to_numpy(self.points)
        imprinted = np.unique(labels)
        if mode != "accumulate":
            points[imprinted] = 0.0
        np.add.at(points, labels, units)
        lost = np.linalg.norm(points[imprinted], axis=1) < 1e-6
        if lost.any():
            raise ValueError(
                "The examples of a class must have a mean direction; those of class "
                f"{imprinted[lost][0]} cancel out."
            )
        layer = self if mode != "append" else self._with_classes(count)
        layer.points.assign(points.astype("float32"))
        return layer

    def _with_classes(self, count):
        layer = type(self).from_config({**self.get_config(), "num_classes": count})
        layer.build(self.points.shape[1])
        return layer

    def _checked_examples(self, labels, embeddings, mode):
        if mode not in ("append", "overwrite", "accumulate"):
            raise ValueError(
                "`mode` must be 'append', 'overwrite' or 'accumulate'. "
                f"Received: mode={mode!r}."
            )
        if not self.built or self.per_class > 1:
            raise ValueError(
                "Points can be imprinted in a built layer with one a class. Received: "
                f"built={self.built}, per_class={self.per_class}."
            )
        labels = np.asarray(labels)
        embeddings = np.asarray(keras.ops.convert_to_numpy(embeddings), "float64")
        dim = self.points.shape[1]
        if labels.dtype.kind not in "iu" or embeddings.shape != (labels.size, dim):
            raise ValueError(
                f"`embeddings` must be `(n, {dim})` and `labels` as many class ids. "
                f"Received: shape {embeddings.shape}, and {labels.dtype} labels of "
                f"shape {labels.shape}."
            )
        if not labels.size or not np.isfinite(embeddings).all():
            raise ValueError(
                "`embeddings` must be finite, of at least one example. Received: "
                f"{np.isfinite(embeddings).all(axis=1).sum()} such of {labels.size}."
            )
        self._check_classes(labels, mode)
        return labels, embeddings

    def _check_classes(self, labels, mode):
        given = np.unique(labels)
        if mode != "append":
            if given[0] < 0 or given[-1] >= self.num_classes:
                raise ValueError(
                    f"With mode={mode!r} labels must be 0 … {self.num_classes - 1}, "
                    f"classes there are. Received: {given[0]} … {given[-1]}."
                )
        elif not np.array_equal(given, self.num_classes + np.arange(len(given))):
            raise ValueError(
                "With mode='append' labels must be the class ids that follow, from "
                f"{self.num_classes} on, each with an example. Received: "
                f"{', '.join(map(str, given[:10]))}{' …' if len(given) > 10 else ''}."
            )

    def get_config(self):
        return {
            "num_classes": self.num_classes,
            "initializer": keras.initializers.serialize(self.initializer),
            "name": self.name,
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "per_class": self.per_class,
        }
