"""Steps that stay close to where the weights were."""

import re

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdml.optimizers")
class Proximal(keras.optimizers.Optimizer):
    """Adds a pull towards earlier weights to the gradients of another optimizer.

    Training is cut into instances of `lifetime` steps. With `a` the weights w at the
    beginning of the instance k, counted from 0, the gradient of a loss becomes that of

        loss + weight * decay**k / 2 * |w - a|^2

    and that of the loss alone in the first instance. With `data.
    representative_batches` of the same `lifetime`, each instance approximates a
    projection of the weights onto the set where the constraints between the
    representatives of the moment and all other examples hold; alternating between
    representatives leads towards a point in all those sets.

    The earlier weights are variables of this optimizer, a copy of the model's trained
    weights, and are saved and restored with its state. Weight decay of the other
    optimizer acts beside.

    Args:
        optimizer: Keras optimizer that applies the gradients, or its name.
        weight: Of the pull, in cost per squared distance of weights, at least 0. For
            heads alone, on features that stay, 1 is far better than the default
            (`zoo/studies/alternating_projection.py`).
        lifetime: Steps of an instance, at least 1: that of the batches.
        decay: Factor of the pull from one instance to the next, above 0.
        exclude: Regular expression of the whole paths of variables that are left alone;
            the default are those of proxies. `None`: none.
        name: Name of the optimizer.

    Raises:
        ValueError: If a number is out of its range.

    Example:

    >>> batches = kerasdml.data.representative_batches(labels, classes=8, per_class=4)
    >>> optimizer = kerasdml.optimizers.Proximal("adam", lifetime=batches.lifetime)
    >>> miner = kerasdml.miners.Representatives()
    >>> model.compile(optimizer, loss=kerasdml.losses.Contrastive(miner=miner))

    Source: a reconstruction of "Deep Metric Learning with Alternating Projections onto
    Feasible Sets", ICIP 2021, whose settings we did not find. That distances are of
    weights, `weight=2e-4` and `decay=1` are those of its authors' later code; a
    lifetime of one pass over the data is assumed. There an instance ends when
    validation stops improving, and the best weights of it are those that pull.
    """

    def __init__(
        self,
        optimizer="adam",
        *,
        weight=2e-4,
        lifetime,
        decay=1.0,
        exclude="(.*/)?proxies/.*",
        name=None,
    ):
        super().__init__(learning_rate=0.0, name=name)
        if weight < 0 or lifetime < 1 or decay <= 0:
            raise ValueError(
                "`weight` must not be negative, `lifetime` must be at least 1 and "
                f"`decay` positive. Received: weight={weight}, lifetime={lifetime}, "
                f"decay={decay}."
            )
        self.optimizer = keras.optimizers.get(optimizer)
        self.weight = weight
        self.lifetime = lifetime
        self.decay = decay
        self.exclude = exclude

    def build(self, variables):
        """Creates a copy of each variable that is not excluded."""
        if self.built:
            return
        self.optimizer.build(variables)
        super().build(variables)
        self._anchors = [
            None if self._is_excluded(variable) else self._anchor_of(variable)
            for variable in variables
        ]

    @property
    def variables(self):
        return super().variables + self.optimizer.variables

    @property
    def learning_rate(self):
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.optimizer.learning_rate = value

    def apply(self, grads, trainable_variables=None):
        """Applies the gradients with the pull, as `keras.optimizers.Optimizer` does."""
        if not self.built:
            self.build(trainable_variables)
        variables = trainable_variables or self._trainable_variables
        begins = self._iterations % self.lifetime == 0
        pull = self._pull()
        pulled = [
            self._pulled(gradient, variable, begins, pull)
            for gradient, variable in zip(grads, variables, strict=True)
        ]
        self.optimizer.apply(pulled, trainable_variables)
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list):
        self.optimizer.finalize_variable_values(var_list)

    def get_config(self):
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "weight": self.weight,
            "lifetime": self.lifetime,
            "decay": self.decay,
            "exclude": self.exclude,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        optimizer = keras.saving.deserialize_keras_object(
            config["optimizer"], custom_objects=custom_objects
        )
        return cls(**{**config, "optimizer": optimizer})

    def _is_excluded(self, variable):
        return self.exclude is not None and re.fullmatch(self.exclude, variable.path)

    def _anchor_of(self, variable):
        return self.add_variable(
            shape=variable.shape,
            dtype=variable.dtype,
            aggregation="only_first_replica",
            name=f"{variable.path.replace('/', '_')}_anchor",
        )

    def _pull(self):
        instance = self._iterations // self.lifetime
        pull = self.weight * self.decay ** ops.cast(instance, "float32")
        # TensorFlow adds up the gradients of replicas, of which this is in each.
        strategy = getattr(self, "_distribution_strategy", None)
        replicas = getattr(strategy, "num_replicas_in_sync", 1)
        return ops.where(instance > 0, pull / replicas, 0.0)

    def _pulled(self, gradient, variable, begins, pull):
        anchor = self._anchors[self._get_variable_index(variable)]
        if gradient is None or anchor is None:
            return gradient
        now = ops.convert_to_tensor(variable)
        earlier = ops.where(begins, now, ops.convert_to_tensor(anchor))
        anchor.assign(earlier)
        return gradient + ops.cast(pull, variable.dtype) * (now - earlier)
