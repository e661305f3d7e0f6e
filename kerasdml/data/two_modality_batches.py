"""Batches of two modalities: of each class examples of both."""

import numpy as np

from kerasdml.data.labels import check_labels
from kerasdml.data.sampler import BalancedBatches, balanced_batches


def two_modality_batches(
    labels, modality, classes: int = 15, per_modality: int = 4, seed: int = 0
) -> "TwoModalityBatches":
    """Plans batches of `classes` classes with `per_modality` examples of each modality.

    Every epoch sees every example of either modality at least once. Of a class that has
    fewer of one than of the other, those are seen more often, round after round, as are
    those of a class that has fewer than `per_modality`; else it is as with
    `balanced_batches`.

    Args:
        labels: `(n,)` integers, one class per example, in the order of the data set.
        modality: `(n,)` two different values, such as 0 for sketches and 1 for photos.
        classes: Different classes in a batch, at least 1. The authors' code: 15.
        per_modality: Examples of each class and modality in a batch, at least 1. The
            authors' code: 4.
        seed: Non-negative integer. The batches of an epoch follow from (seed, epoch).

    Returns:
        A `TwoModalityBatches`.

    Raises:
        ValueError: If labels or modalities are not as above, if there are fewer classes
            than `classes`, if a class has examples of one modality only, or if a number
            is too low.

    Example:

    >>> pack = kerasdml.data.load_pack("quickdraw_photo.npz", part="both")
    >>> modality = pack.fields["modality"]
    >>> batches = kerasdml.data.two_modality_batches(pack.labels, modality)
    >>> train = kerasdml.data.images(
    ...     pack, size=64, batches=batches, fields={"modality": modality}
    ... )
    >>> model.compile("adam", loss=kerasdml.losses.ModalityAwareTriplet())
    >>> model.fit(train, epochs=10)

    Source: Huang et al., "Modality-Aware Triplet Hard Mining for Zero-shot
    Sketch-Based Image Retrieval", 2021, https://arxiv.org/abs/2112.07966. There an
    epoch is 200 batches.
    """
    labels, modality = check_labels(labels), np.asarray(modality)
    if modality.shape != labels.shape or len(np.unique(modality)) != 2:
        raise ValueError(
            "`modality` must have one entry per label, of two different values. "
            f"Received: shape {modality.shape} for {len(labels)} labels, "
            f"{len(np.unique(modality))} different."
        )
    for value in np.unique(modality):
        missing = np.setdiff1d(labels, labels[modality == value])
        if missing.size:
            raise ValueError(
                f"Every class must have examples of both modalities, but {missing.size}"
                f" have none of {value}, among them {missing[0]}. Leave them out."
            )
    if per_modality < 1:
        raise ValueError(
            f"`per_modality` must be at least 1. Received: per_modality={per_modality}."
        )
    balanced_batches(labels, classes, per_modality, seed)  # which checks the rest
    return TwoModalityBatches(labels, modality, classes, per_modality, seed)


class TwoModalityBatches(BalancedBatches):
    """The batches of any epoch, by its number; made by `two_modality_batches`.

    Args:
        labels: `(n,)` integers.
        modality: `(n,)` two different values.
        classes: Different classes in a batch.
        per_modality: Examples of each class and modality in a batch.
        seed: Non-negative integer.

    Attributes:
        size: The number of examples, n.
        steps: Batches in an epoch, the same in each.
        batch_size: Examples in a batch, `2 * classes * per_modality`. Those of one
            class lie side by side, first those of the lower modality.
    """

    def __init__(self, labels, modality, classes, per_modality, seed):
        super().__init__(labels, classes, per_modality, seed)
        self.batch_size *= 2
        self._rows = [
            np.flatnonzero(modality == value) for value in np.unique(modality)
        ]
        self._parts = [
            BalancedBatches(labels[rows], classes, per_modality, seed)
            for rows in self._rows
        ]
        self._plan(np.maximum(*(part._chunks for part in self._parts)))

    def _shuffled(self, rng):
        """The positions of each modality as `BalancedBatches` shuffles them."""
        return [
            rows[part._shuffled(rng)]
            for rows, part in zip(self._rows, self._parts, strict=True)
        ]

    def _examples(self, visited, shuffled):
        """The examples `(v, 2 K)` of class visits `(v,)`, modality after modality."""
        both = [
            part._examples(visited, positions)
            for part, positions in zip(self._parts, shuffled, strict=True)
        ]
        return np.concatenate(both, axis=1)
