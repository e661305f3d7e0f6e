"""Multi-Similarity loss."""

import keras

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log1p_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class MultiSimilarity(PairLoss):
    """Pulls positives in and pushes negatives out, the hardest pairs most.

    For an anchor with similarities `s` to its positives P and negatives N:

        loss = log(1 + sum_P exp(-alpha * (s - base))) / alpha
             + log(1 + sum_N exp(+beta  * (s - base))) / beta

    Pair weight: a softmax of the exponents over P (or N) and one 0, so a pair counts
    by its own hardness and by how it stands among the anchor's others. An anchor
    without positives (or negatives) has no first (or second) term.

    Args:
        alpha: Sharpness of the pull, per unit of similarity, > 0. Paper: 2.
        beta: Sharpness of the push, per unit of similarity, > 0. The authors' code: 40,
            the default; paper (unverified): 50.
        base: The similarity at which a lone pair has weight 1/2. The authors' code:
            0.5, the default; paper (unverified): 1.
        negative_sign: "standard", as above; or "printed", `s + base` in the second
            term, as the hybrid loss below is reported to print it. Then that term is
            about `base` plus the highest similarity of a negative: it pushes on,
            however far negatives are.
        **kwargs: `similarity`, `references`, `miner`, `average`, and Keras' `name`,
            `reduction`, `dtype`.

    Raises:
        ValueError: If `alpha` or `beta` is not positive, or if `negative_sign` is none
            of the above.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.MultiSimilarity())

    Source: Wang et al., "Multi-Similarity Loss with General Pair Weighting for
    Deep Metric Learning", CVPR 2019, https://arxiv.org/abs/1904.06627. The paper's
    mining step is apart: `miner=kerasdml.miners.MultiSimilarity()`.

    With proxies beside, and `models.GlobalLocal` (a reconstruction): Ebrahimpour et
    al., "Multi-Head Deep Metric Learning Using Global and Local Representations", WACV
    2022, https://arxiv.org/abs/2112.14327, has, without mining,

    >>> pairs = losses.MultiSimilarity(beta=50, base=1.0, negative_sign="printed")
    >>> hybrid = pairs + 0.03 * losses.ProxyAnchor(num_classes=100)
    """

    def __init__(
        self, *, alpha=2.0, beta=40.0, base=0.5, negative_sign="standard", **kwargs
    ):
        super().__init__(**kwargs)
        if alpha <= 0 or beta <= 0:
            raise ValueError(
                "`alpha` and `beta` must be positive. "
                f"Received: alpha={alpha}, beta={beta}."
            )
        if negative_sign not in ("standard", "printed"):
            raise ValueError(
                "`negative_sign` must be 'standard' or 'printed'. "
                f"Received: negative_sign={negative_sign!r}."
            )
        self.alpha = alpha
        self.beta = beta
        self.base = base
        self.negative_sign = negative_sign

    def pair_loss(self, similarities, positives, negatives):
        base = -self.base if self.negative_sign == "printed" else self.base
        pull = log1p_sum_exp(-self.alpha * (similarities - self.base), positives)
        push = log1p_sum_exp(self.beta * (similarities - base), negatives)
        return pull / self.alpha + push / self.beta
