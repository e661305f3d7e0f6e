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
    _refusal = None

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
        if not values and self._refusal is not None:
            # Keras comes once more, with nothing, and reports what it hears then.
            raise self._refusal
        self._refusal = self._mismatch(values)
        if self._refusal is not None:
            raise self._refusal
        if self.seed_generator is not None:
            self.seed_generator.state.assign(values.pop("seed"))
        super().load_own_variables(values)

    def _mismatch(self, values):
        """Returns an error if values of a file are of other shapes than the weights."""
        for number, weight in enumerate(self.weights):  # as Keras names them there
            saved = tuple(values.get(str(number), weight).shape)
            if saved != tuple(weight.shape):
                return ValueError(
                    f"{type(self).__name__} was saved with {weight.name!r} of shape "
                    f"{saved}, and has it of shape {tuple(weight.shape)}: make it with "
                    "the arguments that it had when it was saved."
                )
        return None


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
