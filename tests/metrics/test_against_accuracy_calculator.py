"""The same numbers as pytorch-metric-learning's AccuracyCalculator."""

import numpy as np
import pytest

from kerasdml.metrics import retrieval

torch = pytest.importorskip("torch")
calculators = pytest.importorskip(
    "pytorch_metric_learning.utils.accuracy_calculator",
    reason="pip install pytorch-metric-learning",
)
inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
distances = pytest.importorskip("pytorch_metric_learning.distances")

# Theirs by ours.
NAMES = {
    "precision_at_1": "precision_at_1",
    "r_precision": "r_precision",
    "mean_average_precision_at_r": "map_at_r",
    "mean_average_precision": "map_at_all",
    "mean_reciprocal_rank": "mrr",
}


def unequal(seed, duplicates):
    """Classes of 1 to 30, three of them alone; some embeddings are copies."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(9), [30, 21, 13, 8, 5, 2, 1, 1, 1])
    rng.shuffle(labels)
    embeddings = rng.normal(size=(9, 6))[labels] + rng.normal(size=(len(labels), 6))
    copied = rng.integers(len(labels), size=(2, duplicates))
    # Copies of a class of their own: of two classes, whose comes first is not defined.
    same = labels[copied[0]] == labels[copied[1]]
    embeddings[copied[0, same]] = embeddings[copied[1, same]]
    return embeddings.astype("float32"), labels


def theirs(*data, macro=False, k=None):
    calculator = calculators.AccuracyCalculator(
        include=tuple(NAMES),
        avg_of_avgs=macro,
        k=k,
        knn_func=inference.CustomKNN(distances.LpDistance(normalize_embeddings=False)),
        device=torch.device("cpu"),
    )
    scores = calculator.get_accuracy(*data)
    return {NAMES[name]: value for name, value in scores.items()}


def ours(*data, macro=False):
    return retrieval(
        *data,
        metrics=("precision_at_k", "r_precision", "map_at_r", "map_at_all", "mrr"),
        ks=(1,),
        similarity="euclidean",
        lone="exclude",  # as they do in every metric
        average="macro" if macro else "micro",
    )


@pytest.mark.parametrize("macro", [False, True])
@pytest.mark.parametrize("duplicates", [0, 40])
def test_scores_of_a_set_are_the_same(duplicates, macro):
    data = unequal(0, duplicates)
    assert ours(*data, macro=macro) == pytest.approx(theirs(*data, macro=macro))


@pytest.mark.parametrize("macro", [False, True])
def test_scores_on_a_gallery_apart_are_the_same(macro):
    data = *unequal(1, 20), *unequal(2, 20)
    assert ours(*data, macro=macro) == pytest.approx(theirs(*data, macro=macro))
