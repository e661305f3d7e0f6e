"""Pure functions on tensors, written with `keras.ops` alone."""

from kerasdml.ops.centers import center_distances, class_similarities
from kerasdml.ops.distances import safe_sqrt
from kerasdml.ops.margins import (
    of_own,
    softmax_costs,
    with_angle_added,
    with_angle_multiplied,
)
from kerasdml.ops.masks import (
    NEVER_POSITIVE,
    check_classes,
    flatten_labels,
    pair_masks,
    standardize_labels,
    tag_similarities,
)
from kerasdml.ops.pairing import (
    centered,
    class_order,
    next_of_class,
    pair_in_order,
    paired_views,
)
from kerasdml.ops.poincare import (
    exp_at_origin,
    poincare_distances,
    with_riemannian_gradient,
)
from kerasdml.ops.ranking import (
    semi_hard_hinge,
    semi_hard_pairs,
    triplet_counts,
    triplet_hinge,
)
from kerasdml.ops.reductions import (
    cross_entropies,
    first_largest,
    log1p_sum_exp,
    log_sum_exp,
    masked_max,
    masked_min,
    row_shares_of_mean,
)
from kerasdml.ops.row_blocks import by_row_blocks
from kerasdml.ops.self_paced import mean_pair_costs, solve_sample_weights
from kerasdml.ops.similarities import (
    SIMILARITIES,
    check_similarity,
    normalize,
    similarities,
)
from kerasdml.ops.soft_histograms import soft_histograms
from kerasdml.ops.soft_ranks import soft_rank_costs, with_anchor
from kerasdml.ops.weighting import pair_weights

__all__ = [
    "NEVER_POSITIVE",
    "SIMILARITIES",
    "centered",
    "center_distances",
    "by_row_blocks",
    "check_classes",
    "check_similarity",
    "class_order",
    "class_similarities",
    "cross_entropies",
    "exp_at_origin",
    "first_largest",
    "flatten_labels",
    "log1p_sum_exp",
    "log_sum_exp",
    "masked_max",
    "masked_min",
    "mean_pair_costs",
    "next_of_class",
    "normalize",
    "of_own",
    "pair_in_order",
    "pair_masks",
    "paired_views",
    "pair_weights",
    "poincare_distances",
    "row_shares_of_mean",
    "safe_sqrt",
    "semi_hard_hinge",
    "semi_hard_pairs",
    "similarities",
    "soft_histograms",
    "soft_rank_costs",
    "softmax_costs",
    "solve_sample_weights",
    "standardize_labels",
    "tag_similarities",
    "triplet_counts",
    "triplet_hinge",
    "with_anchor",
    "with_angle_added",
    "with_angle_multiplied",
    "with_riemannian_gradient",
]
