"""Layers whose whole state is saved: weights and streams of random numbers."""

import keras
from keras import ops

from kerasdml.config import Configured


class StatefulLayer(Configured, keras.layers.Layer):
    """Base of what losses, miners and references remember or draw.

    A subclass that draws sets `seed_generator = keras.random.SeedGenerator(seed)`;
    Keras does not save the state of one, this does. The layer is built by the loss that
    lists it, by `build(dim)`, and computes in float32 whatever the dtype policy.

    Args:
        name: Name of the layer.
    """

    seed_generator = None

    def __init__(self, *, name=None):
        super().__init__(name=name, dtype="float32")

    def get_build_config(self):
        """Returns `None`: a restored layer is built by the loss that lists it."""

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.seed_generator is not None:
            store["seed"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        values = {name: store[name] for name in list(store.keys())}
        if self.seed_generator is not None:
            self.seed_generator.state.assign(values.pop("seed"))
        super().load_own_variables(values)


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class Seed(StatefulLayer):
    """A stream of random numbers, which goes on where it was after saving and loading.

    Args:
        seed: Integer that the stream begins with; `None` takes a random one.
        name: Name of the layer.

    Example:

    >>> seed = kerasdml.layers.Seed(seed=0)
    >>> keras.random.uniform((3,), seed=seed.seed_generator)
    """

    def __init__(self, *, seed=None, name="seed"):
        super().__init__(name=name)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
