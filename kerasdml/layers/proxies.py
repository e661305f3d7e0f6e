"""Learned points that stand for classes."""

import numbers

import keras


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

    def get_config(self):
        return {
            "num_classes": self.num_classes,
            "initializer": keras.initializers.serialize(self.initializer),
            "name": self.name,
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "per_class": self.per_class,
        }
