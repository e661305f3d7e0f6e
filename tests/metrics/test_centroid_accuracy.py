import numpy as np
import pytest

from kerasdml.metrics import centroid_accuracy

# Means A 1.5 and B 8; 6 is nearer to the mean of B, which is not its class.
LINE = np.array([[0.0], [7.0], [-2.5], [6.0], [1.5], [9.0], [2.5]])
LABELS = np.array(["A", "B", "A", "A", "A", "B", "A"])


def test_values_worked_by_hand():
    assert centroid_accuracy(LINE, LABELS) == pytest.approx(6 / 7)
    by_class = centroid_accuracy(LINE, LABELS, average="macro")
    assert by_class == pytest.approx((4 / 5 + 1) / 2)


def test_means_of_a_gallery():
    # Of the means 0 and 5, the second is nearer from 2.5 up.
    gallery, classes = np.array([[-1.0], [5.0], [1.0]]), np.array(["A", "B", "A"])
    queries, labels = np.array([[2.4], [2.6], [2.6]]), np.array(["A", "B", "A"])
    found = centroid_accuracy(queries, labels, gallery, classes)
    assert found == pytest.approx(2 / 3)
    unknown = np.array(["C", "C", "C"])
    assert centroid_accuracy(queries, unknown, gallery, classes) == 0.0


def test_agrees_with_the_definition():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, size=60)
    embeddings = 100 + generator.normal(size=(60, 3)) + np.eye(5, 3)[labels]
    means = np.stack([embeddings[labels == c].mean(axis=0) for c in range(5)])
    distances = np.linalg.norm(embeddings[:, None] - means, axis=2)
    expected = np.mean(np.argmin(distances, axis=1) == labels)
    assert centroid_accuracy(embeddings, labels) == pytest.approx(expected)


def test_by_cosine_lengths_do_not_matter():
    # At 6, 45, 90 and 31 degrees, with means at 18 and 67.5. With those lengths but
    # unscaled, the mean of class 1 would lie at 90, and 45 be nearer to class 0.
    embeddings = np.array([[1.0, 0.1], [9.0, 9.0], [0.0, 1.0], [1.0, 0.6]])
    labels = np.array([0, 1, 1, 0])
    lengths = np.array([[5.0], [1e-3], [3.0], [0.1]])
    for e in (embeddings, lengths * embeddings):
        assert centroid_accuracy(e, labels, similarity="cosine") == 1.0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((LINE, LABELS[:3]), r"`labels` must have one label per embedding.*`\(7,\)`"),
        ((LINE, LABELS, LINE), "must be given together"),
        ((LINE, LABELS, LINE[:3], LABELS), "`gallery_labels` must have one label"),
        ((np.full((7, 1), np.nan), LABELS), "`embeddings` must be finite"),
    ],
)
def test_rejects_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        centroid_accuracy(*arguments)
