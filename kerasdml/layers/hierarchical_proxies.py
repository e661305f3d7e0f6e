"""Learned points of the Poincaré ball that stand for groups nobody named."""

import numbers

import keras

from kerasdml.config import Configured
from kerasdml.ops.poincare import check_ball, to_poincare


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class HierarchicalProxies(Configured, keras.layers.Layer):
    """Learned points of the Poincaré ball, the nodes of a hierarchy.

    They are kept as tangents at the centre, in float32 whatever the dtype policy, whose
    lengths are at first nine tenths of `clip`, about. An optimizer tells them apart by
    their path, such as `hier/hierarchical_proxies/tangents`.

    Args:
        num_proxies: Number of points, at least 2.
        curvature: As of `ToPoincare`.
        clip: As of `ToPoincare`.
        riemannian_gradient: As of `ToPoincare`.
        name: Name of the layer.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        *,
        num_proxies=512,
        curvature=0.1,
        clip=2.3,
        riemannian_gradient=True,
        name="hierarchical_proxies",
    ):
        super().__init__(name=name, dtype="float32")
        if not isinstance(num_proxies, numbers.Integral) or num_proxies < 2:
            raise ValueError(
                "`num_proxies` must be an integer of at least 2. "
                f"Received: num_proxies={num_proxies!r}."
            )
        check_ball(curvature, clip)
        self.num_proxies = num_proxies
        self.curvature = curvature
        self.clip = clip
        self.riemannian_gradient = riemannian_gradient

    def build(self, dim):
        """Creates `tangents (num_proxies, dim)`."""
        length = 0.9 * self.clip
        self.tangents = self.add_weight(
            name="tangents",
            shape=(self.num_proxies, dim),
            initializer=keras.initializers.RandomNormal(stddev=length / dim**0.5),
            autocast=False,
        )
        self.built = True

    def get_build_config(self):
        """Returns `None`: a restored layer is built by the loss that lists it."""

    def points(self):
        """Returns the points, `(num_proxies, dim)`."""
        return to_poincare(
            keras.ops.convert_to_tensor(self.tangents),
            self.curvature,
            self.clip,
            self.riemannian_gradient,
        )
