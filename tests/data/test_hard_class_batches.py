import numpy as np
import pytest

from kerasdml import data

# Classes 10 … 15, of 1 to 4 examples.
LABELS = np.repeat(np.arange(10, 16), [4, 1, 3, 4, 2, 3])


def at(points):
    """Embeddings of `LABELS`, each class at its point of a plane."""
    return np.asarray(points, "float32")[LABELS - 10]


def score(c, chosen, embeddings):
    """How much class c is confused with the chosen ones."""
    scores = []
    for q in chosen:
        of_q, of_c = embeddings[q == LABELS], embeddings[c == LABELS]
        within = [a @ b for i, a in enumerate(of_q) for b in of_q[:i]]
        alone = [of_q[0] @ of_q[0]]
        scores.append(of_q.mean(axis=0) @ of_c.mean(axis=0) - np.mean(within or alone))
    return max(scores)


@pytest.mark.parametrize("seed", range(3))
def test_each_class_is_the_one_most_confused_with_those_before(seed):
    embeddings = np.random.default_rng(seed).normal(size=(LABELS.size, 4))
    batches = data.hard_class_batches(LABELS, classes=4, per_class=2, seed=seed)
    batches.learn(embeddings, LABELS)
    planned = batches(0)
    assert planned.shape == (batches.steps, 8)
    for row in LABELS[planned[:, ::2]]:
        for i in range(1, 4):
            left = set(np.unique(LABELS)) - set(row[:i])
            best = max(left, key=lambda c: score(c, row[:i], embeddings))
            assert row[i] == best


def test_close_classes_meet_and_far_ones_do_not():
    # Three directions, two classes each.
    embeddings = at([(1, 0), (0, 1), (-1, 0), (1, 0), (0, 1), (-1, 0)])
    batches = data.hard_class_batches(LABELS, classes=2, per_class=2)
    batches.learn(embeddings, LABELS)
    for epoch in range(3):
        for first, second in LABELS[batches(epoch)[:, ::2]]:
            assert abs(first - second) == 3


def test_until_it_has_learned_it_is_balanced():
    batches = data.hard_class_batches(LABELS, classes=3, per_class=2, seed=5)
    balanced = data.balanced_batches(LABELS, classes=3, per_class=2, seed=5)
    np.testing.assert_array_equal(batches(4), balanced(4))


def test_equally_close_classes_are_drawn_at_random_and_begin_equally_often():
    batches = data.hard_class_batches(LABELS, classes=2, per_class=1)
    batches.learn(at(np.ones((6, 2))), LABELS)
    rows = np.concatenate([LABELS[batches(epoch)] for epoch in range(40)])
    assert len({tuple(row) for row in rows}) == 30
    begun = np.bincount(rows[:, 0] - 10)
    assert begun.max() - begun.min() <= 40, "in each epoch by one at most"


def test_a_pool_as_small_as_the_batch_leaves_no_choice():
    embeddings = at([(1, 0), (0, 1), (-1, 0), (1, 0), (0, 1), (-1, 0)])
    batches = data.hard_class_batches(LABELS, classes=2, per_class=2, pool=2)
    batches.learn(embeddings, LABELS)
    rows = np.concatenate([LABELS[batches(epoch)[:, ::2]] for epoch in range(40)])
    assert (rows[:, 0] != rows[:, 1]).all()
    assert len({tuple(row) for row in rows}) > 20, "far ones meet too"


@pytest.mark.parametrize("pool", [1, 7])
def test_a_pool_that_cannot_be_is_refused(pool):
    with pytest.raises(ValueError, match=f"Received: pool={pool}, classes=2, of 6"):
        data.hard_class_batches(LABELS, classes=2, pool=pool)


def test_embeddings_of_other_classes_are_refused():
    batches = data.hard_class_batches(LABELS, classes=2)
    with pytest.raises(ValueError, match="at least once. Received 1 classes for 6"):
        batches.learn(np.ones((2, 3)), [10, 10])


def test_arguments_are_checked_as_those_of_balanced_batches():
    with pytest.raises(ValueError, match="`classes=60` needs at least .* Received: 6."):
        data.hard_class_batches(LABELS)
