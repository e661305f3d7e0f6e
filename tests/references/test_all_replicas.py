"""What it does on one device; `tests/models/test_replicas.py` has two."""

import numpy as np
import pytest

from kerasdml import losses, references
from kerasdml.references import AllReplicas, MemoryBank

LABELS = np.array([0, 0, 1, 1, 2])
X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")


@pytest.mark.parametrize(
    "make",
    [
        losses.MultiSimilarity,
        losses.Triplet,
        losses.LiftedStructure,
        lambda **x: losses.ProxyAnchor(num_classes=3, **x),
        lambda **x: losses.MultiProxiesAnchor(num_classes=3, aggregation="data", **x),
    ],
)
def test_changes_nothing_on_one_device(make):
    values = []
    for sources in [], [AllReplicas()]:
        loss = make(references=sources, reduction="none")
        loss.build(3)
        for layer in loss.layers:
            for weight in layer.weights:
                weight.assign(np.resize(np.arange(7.0) ** 0.5, weight.shape))
        values.append(loss(LABELS, X))
    np.testing.assert_array_equal(*values)


def test_comes_first_and_once():
    message = "`references.AllReplicas` must be the first of `references`, once"
    for sources in [MemoryBank(8), AllReplicas()], [AllReplicas(), AllReplicas()]:
        with pytest.raises(ValueError, match=message):
            losses.SupCon(references=sources)


def test_is_all_that_proxies_are_compared_with():
    message = "ProxyAnchor compares proxies with the batch: `references` can be"
    for sources in [MemoryBank(8)], [AllReplicas(), references.MemoryBank(8)]:
        with pytest.raises(ValueError, match=message):
            losses.ProxyAnchor(num_classes=3, references=sources)
