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


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class Proxies(keras.layers.Layer):
    """One learned point a class, in the space of the embeddings.

    The points are kept in float32 whatever the dtype policy. An optimizer tells them
    apart by their path, such as `proxy_anchor/proxies/points`.

    Args:
        num_classes: Number of classes, at least 2.
        initializer: How the points are drawn; a Keras initializer or its name. Losses
            use their direction alone, so the scale only sets how far one step of the
            optimizer turns them.
        name: Name of the layer.

    Raises:
        ValueError: If `num_classes` is not an integer of at least 2.
    """

    def __init__(self, num_classes, initializer="random_normal", name="proxies"):
        super().__init__(name=name, dtype="float32")
        self.num_classes = check_num_classes(num_classes)
        self.initializer = keras.initializers.get(initializer)

    def build(self, dim):
        """Creates `points (num_classes, dim)`."""
        self.points = self.add_weight(
            name="points",
            shape=(self.num_classes, dim),
            initializer=self.initializer,
            autocast=False,
        )
        self.built = True

    def get_config(self):
        return {
            "num_classes": self.num_classes,
            "initializer": keras.initializers.serialize(self.initializer),
            "name": self.name,
        }
