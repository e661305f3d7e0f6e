"""Pure functions on tensors, written with `keras.ops` alone."""

from kerasdml.ops.masks import flatten_labels, pair_masks
from kerasdml.ops.pairing import pair_in_order
from kerasdml.ops.ranking import semi_hard_hinge, triplet_hinge
from kerasdml.ops.reductions import (
    log1p_sum_exp,
    log_sum_exp,
    masked_max,
    masked_min,
)
from kerasdml.ops.similarities import (
    SIMILARITIES,
    check_similarity,
    normalize,
    safe_sqrt,
    similarities,
)

__all__ = [
    "SIMILARITIES",
    "check_similarity",
    "flatten_labels",
    "log1p_sum_exp",
    "log_sum_exp",
    "masked_max",
    "masked_min",
    "normalize",
    "pair_in_order",
    "pair_masks",
    "safe_sqrt",
    "semi_hard_hinge",
    "similarities",
    "triplet_hinge",
]
