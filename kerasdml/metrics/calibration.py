"""Thresholds at which two embeddings count as one class."""

import dataclasses
import json

import numpy as np

from kerasdml.metrics.pair_scores import pair_scores
from kerasdml.metrics.verification import (
    check_rate,
    check_scores,
    count_accepted,
    distinct_descending,
)


@dataclasses.dataclass(frozen=True)
class CutPoint:
    """A threshold, and what it does to the pairs it was found on.

    Attributes:
        threshold: Scores of at least this match.
        precision: Share of same pairs among those that match; 1 if none does.
        recall: Share of the same pairs that match.
        f1: Harmonic mean of the two.
        accuracy: Share of all pairs that are decided rightly.
        false_match_rate: Share of the different pairs that match.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    accuracy: float
    false_match_rate: float

    @property
    def false_non_match_rate(self):
        """Share of the same pairs that do not match."""
        return 1.0 - self.recall


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Named cut-points of one similarity; `calibrate` makes them.

    Attributes:
        best_f1: `CutPoint` of the largest F1.
        best_accuracy: `CutPoint` of the largest accuracy.
        equal_error: `CutPoint` whose two error rates are closest to each other.
        false_match_rates: A tuple of `(rate, CutPoint)`.
        similarity: The similarity of the scores; None if scores were given.
        prior: The share of same pairs that precision, F1 and accuracy presume.
    """

    best_f1: CutPoint
    best_accuracy: CutPoint
    equal_error: CutPoint
    false_match_rates: tuple
    similarity: str | None
    prior: float

    @property
    def cut_points(self):
        """Each `CutPoint` by its name; that of a rate is the rate, as "0.001"."""
        rates = {str(float(rate)): point for rate, point in self.false_match_rates}
        names = ("best_f1", "best_accuracy", "equal_error")
        return {name: getattr(self, name) for name in names} | rates

    def false_match_rate(self, rate):
        """Returns the cut-point of the largest recall at a false-match rate."""
        for known, cut_point in self.false_match_rates:
            if known == rate:
                return cut_point
        raise ValueError(
            f"No cut-point for a false-match rate of {rate}. Found were those for "
            f"{[known for known, _ in self.false_match_rates]}: "
            "`metrics.calibrate(..., false_match_rates=...)` says which."
        )

    def match(self, scores, at="best_f1"):
        """Decides which scores match.

        A rate is that of pairs. A query meets each of n items, so that the chance of
        some false match is up to n times the rate; `metrics.open_set` measures it.

        Args:
            scores: Similarities, of any shape; larger is closer. NaN does not match.
                They must be of the kind that was calibrated, `similarity`.
            at: A name in `cut_points`, as "best_f1", or a false-match rate.

        Returns:
            Booleans of the shape of `scores`.

        Raises:
            ValueError: If there is no such cut-point.

        Example:

        >>> scores, ids = index.search(queries, k=5)
        >>> matches = calibration.match(scores, at=1e-3)  # (q, 5)
        """
        if not isinstance(at, str):
            cut_point = self.false_match_rate(at)
        elif at in self.cut_points:
            cut_point = self.cut_points[at]
        else:
            raise ValueError(
                f"`at` must be {', '.join(map(repr, self.cut_points))} or a "
                f"false-match rate. Received: at={at!r}."
            )
        return np.asarray(scores, float) >= cut_point.threshold

    def to_json(self):
        """Returns the calibration as JSON text, to the last digit."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text):
        """Returns the calibration that `to_json` wrote.

        Raises:
            ValueError: If the text is something else.
        """
        try:
            fields = json.loads(text)
            for name in ("best_f1", "best_accuracy", "equal_error"):
                fields[name] = CutPoint(**fields[name])
            fields["false_match_rates"] = tuple(
                (rate, CutPoint(**cut_point))
                for rate, cut_point in fields["false_match_rates"]
            )
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                "`text` must be what `Calibration.to_json` returned. "
                f"Received: {text[:60]!r}."
            ) from error


def calibrate(
    scores,
    labels,
    *,
    similarity="cosine",
    false_match_rates=(1e-3,),
    prior=None,
    max_pairs=2**22,
    seed=0,
):
    """Finds thresholds that tell pairs of one class from pairs of two.

    Every score is tried as a threshold, and one above them all, at which nothing
    matches; a score matches if it is at least the threshold. Of equally good ones it is
    the strictest. Takes O(n log n) time and O(n) memory in the number of pairs.

    How good precision, F1 and accuracy are depends on how many pairs are of one class:
    with balanced pairs a threshold looks far better than it is in a search, where most
    are different. `prior` says how many; recall and the false-match rate, and the
    cut-points of a given rate and of equal error, do not depend on it.

    Args:
        scores: `(n,)` similarities of pairs, larger is closer; or embeddings `(n, d)`,
            of which all pairs are compared, or a sample as in `metrics.pair_scores`.
        labels: `(n,)`: with scores, whether both of a pair are of one class, booleans
            or 0 and 1; with embeddings their classes, integers or strings.
        similarity: How embeddings compare, one of `ops.SIMILARITIES`.
        false_match_rates: Rates, each from 0 to 1: the cut-point of each has the
            largest recall of all whose false-match rate is at most this.
        prior: The share of pairs of one class where the thresholds will be used, above
            0 and below 1. None: that of the given pairs; of embeddings, of all pairs.
        max_pairs: As in `metrics.pair_scores`, with embeddings.
        seed: As in `metrics.pair_scores`, with embeddings.

    Returns:
        A `Calibration`.

    Raises:
        ValueError: If lengths differ, a score or an embedding is NaN or infinite, all
            pairs are same or all are different, or an option is out of its range.

    Example:

    >>> calibration = metrics.calibrate(embedder.predict(images), labels)
    >>> calibration.match(index.search(queries, k=1)[0], at=1e-3)
    """
    for rate in false_match_rates:
        check_rate("false_match_rates", rate)
    if prior is not None and not 0 < prior < 1:
        raise ValueError(
            f"`prior` must be above 0 and below 1. Received: prior={prior}."
        )
    if np.ndim(scores) == 2:
        pairs = pair_scores(
            scores, labels, similarity=similarity, max_pairs=max_pairs, seed=seed
        )
        scores, labels = pairs.scores, pairs.same
        if prior is None and not pairs.exact:
            prior = pairs.prior
    else:
        similarity = None
    return _calibrate(
        *check_scores(scores, labels), similarity, false_match_rates, prior
    )


def _calibrate(scores, same, similarity, false_match_rates, prior):
    thresholds = distinct_descending(scores)
    # Not infinity, which JSON lacks; larger in float32 too.
    thresholds[0] = np.nextafter(np.float32(thresholds[1]), np.float32(np.inf))
    true = count_accepted(scores[same], thresholds)
    false = count_accepted(scores[~same], thresholds)
    positives, negatives = true[-1], false[-1]
    recall, false_match_rate = true / positives, false / negatives

    # What a same and a different pair count for.
    weight = other = 1.0
    if prior is None:
        prior = float(positives / len(scores))
    else:
        weight, other = prior / positives, (1 - prior) / negatives
    matched = weight * true + other * false
    precision = np.divide(
        weight * true, matched, out=np.ones_like(matched), where=matched > 0
    )
    f1 = 2 * weight * true / (matched + weight * positives)
    right = weight * true + other * (negatives - false)
    accuracy = right / (weight * positives + other * negatives)

    def cut_point(i):
        figures = (thresholds, precision, recall, f1, accuracy, false_match_rate)
        return CutPoint(*(float(figure[i]) for figure in figures))

    def within(rate):
        loosest = np.searchsorted(false_match_rate, rate, side="right") - 1
        return np.searchsorted(true, true[loosest])  # the strictest of this recall

    return Calibration(
        best_f1=cut_point(np.argmax(f1)),
        best_accuracy=cut_point(np.argmax(accuracy)),
        equal_error=cut_point(np.argmin(np.abs(false_match_rate - (1 - recall)))),
        false_match_rates=tuple(
            (float(r), cut_point(within(r))) for r in false_match_rates
        ),
        similarity=similarity,
        prior=float(prior),
    )
