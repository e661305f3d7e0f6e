"""Embedding expansion and symmetrical synthesis: points made of two of a class."""

import numpy as np
import pytest

from kerasdml import losses
from kerasdml.references import EmbeddingExpansion, SymmetricalSynthesis
from tests.conftest import value_and_gradient
from tests.references.batches import called, units


def kept(found):
    there = found.labels != -1
    return found.embeddings[there], found.labels[there]


def test_a_line_is_cut_into_equal_parts_once_for_each_pair():
    x = [[0, 0], [3, 6], [1, 1], [9, 9]]
    found = kept(called(EmbeddingExpansion(normalize=False), x, [5, 5, 7, -1]))
    np.testing.assert_allclose(found[0], [[1, 2], [2, 4]], rtol=1e-6)
    np.testing.assert_array_equal(found[1], [5, 5])


def test_three_of_a_class_are_paired_in_a_circle():
    x = [[0, 0], [4, 0], [8, 8], [0, 8]]
    source = EmbeddingExpansion(points=1, normalize=False)
    found = kept(called(source, x, [2, 1, 2, 2]))
    np.testing.assert_allclose(found[0], [[4, 4], [4, 8], [0, 4]])


def test_points_between_are_of_length_one():
    found, _ = kept(called(EmbeddingExpansion(), 3 * units(4, 3), [0, 0, 1, 1]))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_mirrors_each_at_the_next(at_angles):
    # At 0 and 30 degrees: the first at the second is at 60, the other way round at -30.
    lengths = np.array([[2], [5], [1]])
    found = kept(
        called(SymmetricalSynthesis(), lengths * at_angles(0, 30, 80), [0, 0, 1])
    )
    np.testing.assert_allclose(found[0], lengths[:2] * at_angles(60, -30), atol=1e-6)
    np.testing.assert_array_equal(found[1], [0, 0])


@pytest.mark.parametrize("cls", [EmbeddingExpansion, SymmetricalSynthesis])
def test_made_up_points_are_negatives_alone(cls, at_angles):
    loss = losses.Contrastive(references=[cls()], margin=0.9, reduction="none")
    loss.build(2)
    # One class alone: its points between and beyond cost it nothing.
    plain = losses.Contrastive(margin=0.9, reduction="none")
    x, labels = at_angles(0, 30), np.array([0, 0])
    np.testing.assert_allclose(loss(labels, x), plain(labels, x), rtol=1e-5)


@pytest.mark.parametrize(
    "cls, angles",
    [
        # Of 30 and 120 degrees, the points between are nearer to 75.
        (EmbeddingExpansion, (75, 75, 30, 120)),
        # Of 60 and 90 degrees, the mirror images are at 30 and 120.
        (SymmetricalSynthesis, (0, 0, 60, 90)),
    ],
)
def test_the_hardest_negative_may_be_made_up(cls, angles, at_angles):
    labels, x = np.array([0, 0, 1, 1]), at_angles(*angles)
    hard = {"negatives": "hard", "margin": 1.0, "reduction": "none"}
    loss = losses.Triplet(references=[cls()], **hard)
    loss.build(2)
    assert float(loss(labels, x)[0]) > float(losses.Triplet(**hard)(labels, x)[0]) + 0.1


@pytest.mark.parametrize("cls", [EmbeddingExpansion, SymmetricalSynthesis])
def test_both_embeddings_of_a_pair_are_moved(cls, at_angles):
    loss = losses.Contrastive(references=[cls()], margin=0.0)
    loss.build(2)
    labels, x = np.array([0, 1, 1]), at_angles(125, 100, 150)
    _, gradient = value_and_gradient(lambda x: loss(labels, x), x)
    _, plain = value_and_gradient(
        lambda x: losses.Contrastive(margin=0.0)(labels, x), x
    )
    assert (np.abs(gradient - plain)[1:] > 1e-4).any(axis=1).all()


def test_a_batch_without_pairs_is_the_plain_loss(at_angles):
    for cls in (EmbeddingExpansion, SymmetricalSynthesis):
        loss = losses.MultiSimilarity(references=[cls()])
        loss.build(2)
        labels, x = np.array([0, 1, -1]), at_angles(0, 30, 50)
        plain = losses.MultiSimilarity()(labels, x)
        np.testing.assert_allclose(loss(labels, x), plain, rtol=1e-5)


def test_tags_are_refused():
    for cls in (EmbeddingExpansion, SymmetricalSynthesis):
        with pytest.raises(
            ValueError, match=f"{cls.__name__} needs one class id an ex"
        ):
            called(cls(), units(2, 3), np.eye(2))


def test_points_must_be_some():
    with pytest.raises(ValueError, match="`points` must be an integer of at least 1"):
        EmbeddingExpansion(points=0)
