"""Sub-center ArcFace."""

import keras
from keras import ops

from kerasdml.layers.proxies import check_per_class
from kerasdml.losses.arc_face import ArcFace


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SubCenterArcFace(ArcFace):
    """ArcFace with several proxies a class, of which the closest speaks for the class.

    The similarity of an embedding to a class is the largest of its cosines to the
    class's proxies; the rest is `ArcFace`. One of the proxies comes to stand for the
    class, and the others gather what is mislabelled or odd in it.

    Pair weight: that of `ArcFace` for the closest proxy of each class, 0 for others.

    Args:
        num_classes: Number of classes, at least 2.
        per_class: Proxies a class has, at least 1. Paper: 3, and 1 is `ArcFace`.
        scale: Of the logits, per unit of cosine, > 0. Paper: 64.
        margin: Angle in radians, at least 0 and below pi / 2. Paper: 0.5.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `scale`, `margin` or `per_class` is outside its range, or
            `num_classes` is below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.SubCenterArcFace(num_classes=100))

    Source: Deng et al., "Sub-center ArcFace: Boosting Face Recognition by Large-scale
    Noisy Web Faces", ECCV 2020,
    https://www.ecva.net/papers/eccv_2020/papers_ECCV/papers/123560715.pdf. The paper's
    second training, without the examples that are far from their class's most used
    proxy, is left to the caller.
    """

    def __init__(self, *, num_classes, per_class=3, scale=64.0, margin=0.5, **kwargs):
        self.per_class = check_per_class(per_class)
        super().__init__(num_classes=num_classes, scale=scale, margin=margin, **kwargs)

    def pair_loss(self, similarities, positives, negatives):
        per_class = self.num_classes, self.per_class
        closest = ops.max(ops.reshape(similarities, (-1, *per_class)), axis=2)
        step = self.per_class
        return super().pair_loss(closest, positives[:, ::step], negatives[:, ::step])
