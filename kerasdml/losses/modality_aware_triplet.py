"""Triplets within and across two modalities, such as sketches and photos."""

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.ops import masked_max, masked_min, normalize, pair_masks
from kerasdml.ops.distances import distances
from kerasdml.step import step

# Of which modality the positive and the negative are: the anchor's, or the other.
_COMPONENTS = {
    "within": ("same", "same"),
    "hybrid": ("other", "same"),
    "cross": ("other", "other"),
}


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ModalityAwareTriplet(MetricLoss):
    """Batch-hard triplets of three kinds, by the modalities of their examples.

    With d the Euclidean distances of embeddings scaled to length 1, each anchor has

        t = d(farthest positive) - d(closest negative) + margin

    once a component: "within", both of the anchor's modality; "hybrid", a positive of
    the other and a negative of the anchor's; "cross", both of the other. Their costs
    `log(1 + exp(beta * t)) / beta` are added up with weights

        w = mean(a) / max(a, floor),  a = mean of sigmoid(beta * t) over the batch

    so that a component with few violations, a small `a`, is not drowned; the mean of
    `a` is over the components. No gradient flows through the weights. The cost is the
    mean over the components.

    Pair weight: `w * sigmoid(beta * t)` of the hardest pair of a component, 0 of all
    others. A component without a positive or without a negative costs 0.

    It needs the field "modality", integers `(q,)`.

    Args:
        margin: Distance by which negatives should be farther than positives, at least
            0. The authors' code: 0.2.
        components: Which of "within", "hybrid" and "cross" there are, at least one.
        weighting: "per_component", as above. "published": the sum of the weights times
            the mean of the costs, with gradient through the weights, which is what the
            authors' code computes where it adds up with broadcasting. `None`: hinges,
            `max(t, 0)`, all weighted alike, the authors' loss without weights.
        beta: Sharpness of the smooth hinge, per unit of distance, > 0. The authors'
            code: 20. Without meaning where `weighting=None`.
        floor: Smallest `a` that a weight is divided by, > 0. The authors' code: 0.1.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is none of the above; in training, if there is no
            field "modality".

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.ModalityAwareTriplet())
    >>> model.fit(images, {"label": labels, "modality": is_photo})

    Source: Huang et al., "Modality-Aware Triplet Hard Mining for Zero-shot
    Sketch-Based Image Retrieval", 2021, https://arxiv.org/abs/2112.07966, where the
    cross-entropy of a linear classifier is added: `+ losses.NormalizedSoftmax(...)`
    comes close. In the authors' code, whose options "cross" and "within" each select
    the other, an example is also its own positive, which matters only if it has no
    other; and the gradient of a single component is a third of its own, that of
    `1 / 3 * ModalityAwareTriplet(...)`.
    """

    fields = ("modality",)

    def __init__(
        self,
        *,
        margin=0.2,
        components=("within", "hybrid", "cross"),
        weighting="per_component",
        beta=20.0,
        floor=0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.components = list(components)
        if not self.components or set(self.components) - _COMPONENTS.keys():
            raise ValueError(
                "`components` must be one or more of 'within', 'hybrid' and 'cross'. "
                f"Received: components={components!r}."
            )
        if weighting not in ("per_component", "published", None):
            raise ValueError(
                "`weighting` must be 'per_component', 'published' or None. "
                f"Received: weighting={weighting!r}."
            )
        if margin < 0 or beta <= 0 or floor <= 0:
            raise ValueError(
                "`margin` must not be negative, and `beta` and `floor` must be "
                f"positive. Received: margin={margin}, beta={beta}, floor={floor}."
            )
        self.margin = margin
        self.weighting = weighting
        self.beta = beta
        self.floor = floor

    def costs(self, labels, embeddings):
        modality = ops.reshape(step.field("modality"), (-1,))
        violations, some = self.violations(labels, embeddings, modality)
        if self.weighting is None:
            return ops.mean(ops.where(some, ops.relu(violations), 0.0), axis=0)
        costs = ops.softplus(self.beta * violations) / self.beta
        costs = ops.where(some, costs, 0.0)
        slopes = ops.where(some, ops.sigmoid(self.beta * violations), 0.0)
        active = ops.mean(slopes, axis=1, keepdims=True)
        weights = ops.mean(active) / ops.maximum(active, self.floor)
        if self.weighting == "published":
            return ops.sum(weights) * ops.mean(costs, axis=0)
        return ops.mean(ops.stop_gradient(weights) * costs, axis=0)

    def violations(self, labels, embeddings, modality):
        """Returns t and whether there is a triplet, `(components, q)` each."""
        x = normalize(embeddings)
        far = distances(x, x)
        rows = ops.arange(ops.shape(labels)[0], dtype="int32")
        positives, negatives = pair_masks(labels, labels, rows)
        same = modality[:, None] == modality
        of = {"same": same, "other": ops.logical_not(same)}
        violations, some = [], []
        for component in self.components:
            modality_of_positive, modality_of_negative = _COMPONENTS[component]
            pulled = ops.logical_and(positives, of[modality_of_positive])
            pushed = ops.logical_and(negatives, of[modality_of_negative])
            farthest, closest = masked_max(far, pulled), masked_min(far, pushed)
            violations.append(farthest - closest + self.margin)
            some.append(
                ops.logical_and(ops.any(pulled, axis=1), ops.any(pushed, axis=1))
            )
        return ops.stack(violations), ops.stack(some)
