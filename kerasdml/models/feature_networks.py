"""Small networks that change features, and that judge them."""

import keras
from keras import ops


class FeatureGenerator(keras.layers.Layer):
    """Adds to features what dense layers make of what they see, and of a class.

    Each hidden layer is dense, a ReLU and a batch normalisation; the last begins at
    zero, so that features are unchanged at first, whatever their scale. A class is a
    learned vector added before the first ReLU, which is what a dense layer makes of a
    one-hot label beside the features, without the width of all classes.

    Args:
        units: Sizes of the hidden layers.
        dim: Size of the features.
        num_classes: Number of classes, if it is told one.
        name: Name of the layer, in the paths of its weights.
    """

    def __init__(self, units, dim, num_classes=None, *, name):
        super().__init__(name=name, dtype="float32")
        self.denses = _denses(units)
        self.norms = [
            keras.layers.BatchNormalization(dtype="float32", name=f"norm_{i}")
            for i, _ in enumerate(units)
        ]
        self.change = keras.layers.Dense(
            dim, kernel_initializer="zeros", dtype="float32", name="change"
        )
        self.classes = num_classes and keras.layers.Embedding(
            num_classes, units[0], dtype="float32", name="classes"
        )

    def build(self, size):
        """Creates the weights for rows of so many numbers."""
        if self.classes:
            self.classes.build()
        for dense, norm in zip(self.denses, self.norms, strict=True):
            dense.build((None, size))
            size = dense.units
            norm.build((None, size))
        self.change.build((None, size))
        self.built = True

    def call(self, seen, features, labels=None, training=None):
        x = seen
        for i, (dense, norm) in enumerate(zip(self.denses, self.norms, strict=True)):
            x = dense(x)
            if self.classes and i == 0:
                x = x + self.classes(labels)
            x = norm(ops.relu(x), training=training)
        return features + self.change(x)


class Discriminator(keras.layers.Layer):
    """Tells the classes of features, and those that are made up, `num_classes`.

    Args:
        units: Sizes of the hidden layers, each followed by a leaky ReLU.
        num_classes: Number of classes; it has one output more.
        name: Name of the layer, in the paths of its weights.
    """

    def __init__(self, units, num_classes, *, name):
        super().__init__(name=name, dtype="float32")
        self.denses = _denses([*units, num_classes + 1])

    def build(self, size):
        """Creates the weights for features of size `size`."""
        for dense in self.denses:
            dense.build((None, size))
            size = dense.units
        self.built = True

    def call(self, features):
        x = features
        for dense in self.denses[:-1]:
            x = ops.leaky_relu(dense(x), 0.2)
        return self.denses[-1](x)


def _denses(units):
    return [
        keras.layers.Dense(size, dtype="float32", name=f"dense_{i}")
        for i, size in enumerate(units)
    ]


def frozen(layer):
    """Returns `layer` as a function: no gradient reaches its weights, nothing is kept.

    What it is called with has its gradient.
    """

    def call(*args, **kwargs):
        fixed = map(ops.convert_to_tensor, layer.trainable_variables)
        others = map(ops.convert_to_tensor, layer.non_trainable_variables)
        weights = [ops.stop_gradient(value) for value in fixed]
        return layer.stateless_call(weights, list(others), *args, **kwargs)[0]

    return call
