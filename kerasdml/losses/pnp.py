"""Penalizing negatives before positives."""

import keras
from keras import ops

from kerasdml.losses.soft_rank import SoftRankLoss

VARIANTS = ("O", "Iu", "Ib", "Ds", "Dq")


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class PNP(SoftRankLoss):
    """Penalizes the negatives that come before each positive, their number smoothed.

    With `b_p = sum_N sigmoid((s_n - s_p) / temperature)` of a positive p, a positive
    costs f(b_p), and an anchor the mean over its positives:

    - `variant="O"`: b, all alike;
    - `"Iu"`: (1 + b) log(1 + b), and
    - `"Ib"`: (base b - log(1 + base b)) / base^2: more, the more negatives there are;
    - `"Ds"`: log(1 + b), and
    - `"Dq"`: 1 - (1 + b)^-alpha: less, so that a positive among many negatives, which
      may be mislabelled, is let go.

    Pair weight: f'(b) of the positive, times the slope of the sigmoid between the two.
    An anchor without positives or without negatives costs 0. Positives do not compete
    with one another, as they do in `SmoothAP`.

    Args:
        variant: "O", "Iu", "Ib", "Ds" or "Dq", as above. The authors' and the common
            code: "O"; "Dq", which the authors recommend, is the default here.
        alpha: Of "Dq", > 0. The authors' code: 1, the default, and 4 in their example.
        base: Of "Ib", > 0, whose slope nears 1 / base. The authors' code: 2.
        temperature: Of the sigmoid, in units of similarity, > 0. Paper: 0.01.
        include_anchor: Whether the anchor is among its own positives, which no negative
            comes before, as in the authors' and the common code: the costs then are
            less, by about p / (p + 1) for p positives. Default: no.
        **kwargs: `similarity`, `references`, `miner`, `average` ("anchors", the
            default, or "active"), and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `variant` is none of the above, or a number is not positive.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.PNP(variant="Ds"))

    Source: Li et al., "Rethinking the Optimization of Average Precision: Only
    Penalizing Negative Instances before Positive Ones is Enough", AAAI 2022,
    https://arxiv.org/abs/2102.04640.
    """

    def __init__(
        self,
        *,
        variant="Dq",
        alpha=1.0,
        base=2.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if variant not in VARIANTS:
            raise ValueError(
                "`variant` must be one of 'O', 'Iu', 'Ib', 'Ds' and 'Dq'. "
                f"Received: variant={variant!r}."
            )
        if alpha <= 0 or base <= 0:
            raise ValueError(
                "`alpha` and `base` must be positive. "
                f"Received: alpha={alpha}, base={base}."
            )
        self.variant = variant
        self.alpha = alpha
        self.base = base

    def rank_cost(self, a, b):
        penalty, slope = {
            "O": lambda: (b, ops.ones_like(b)),
            "Iu": lambda: ((1.0 + b) * ops.log1p(b), 1.0 + ops.log1p(b)),
            "Ib": lambda: (
                (self.base * b - ops.log1p(self.base * b)) / self.base**2,
                b / (1.0 + self.base * b),
            ),
            "Ds": lambda: (ops.log1p(b), 1.0 / (1.0 + b)),
            "Dq": lambda: (
                -ops.expm1(-self.alpha * ops.log1p(b)),
                self.alpha * (1.0 + b) ** (-self.alpha - 1.0),
            ),
        }[self.variant]()
        return penalty, ops.zeros_like(a), slope
