"""Batch-hard mining, and its easy and semi-hard relatives."""

import keras
from keras import ops

from kerasdml.miners.base import Miner
from kerasdml.ops import first_largest

STRATEGIES = ("easy", "hard", "semi_hard", "all")


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class BatchEasyHard(Miner):
    """Keeps one positive and one negative of each anchor, easy or hard ones.

    - "easy": the closest positive; the farthest negative;
    - "hard": the farthest positive; the closest negative;
    - "semi_hard": the farthest of the positives closer than the negative that is kept;
      the closest of the negatives farther than the positive that is kept;
    - "all": every one of that kind.

    Of equal ones the first is kept. An anchor that lacks one of the two, as when none
    is semi-hard, keeps neither. With "all" of one kind, the other is chosen by itself.

    Args:
        positives: "easy", "hard", "semi_hard" or "all", as above. Easy positives leave
            a class room to consist of several clusters.
        negatives: "easy", "hard", "semi_hard" or "all". "semi_hard" goes with an "easy"
            or "hard" other kind only.

    Raises:
        ValueError: If a strategy is unknown, or "semi_hard" goes with "semi_hard" or
            "all".

    Example:

    >>> loss = kerasdml.losses.NCA(miner=kerasdml.miners.BatchEasyHard())

    Source: Xuan et al., "Improved Embeddings with Easy Positive Triplet Mining", WACV
    2020, https://arxiv.org/abs/1904.04370; the miner of that name in
    pytorch-metric-learning, https://github.com/KevinMusgrave/pytorch-metric-learning,
    without its ranges of allowed distances.
    """

    def __init__(self, *, positives="easy", negatives="semi_hard"):
        for name, strategy in (("positives", positives), ("negatives", negatives)):
            if strategy not in STRATEGIES:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(map(repr, STRATEGIES))}. "
                    f"Received: {name}={strategy!r}."
                )
        kinds = {positives, negatives}
        if kinds in ({"semi_hard"}, {"semi_hard", "all"}):
            raise ValueError(
                "'semi_hard' is relative to the one pair kept of the other kind, which "
                "must be 'easy' or 'hard'. "
                f"Received: positives={positives!r}, negatives={negatives!r}."
            )
        self.positives = positives
        self.negatives = negatives

    def __call__(self, similarities, positives, negatives):
        p = _chosen(self.positives, -similarities, positives)
        n = _chosen(self.negatives, similarities, negatives)
        if self.positives == "semi_hard":
            closer = ops.logical_and(positives, similarities > _value(similarities, n))
            p = first_largest(-similarities, closer)
        if self.negatives == "semi_hard":
            farther = ops.logical_and(negatives, similarities < _value(similarities, p))
            n = first_largest(similarities, farther)
        if "all" in (self.positives, self.negatives):
            return p, n
        both = ops.logical_and(
            ops.any(p, axis=1, keepdims=True), ops.any(n, axis=1, keepdims=True)
        )
        return ops.logical_and(p, both), ops.logical_and(n, both)


def _chosen(strategy, hardness, mask):
    if strategy == "all":
        return mask
    return first_largest(-hardness if strategy == "easy" else hardness, mask)


def _value(similarities, chosen):
    """Returns `(q, 1)` the similarity of each row's chosen pair; 0 if there is none."""
    return ops.sum(ops.where(chosen, similarities, 0.0), axis=1, keepdims=True)
