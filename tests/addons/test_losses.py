"""Losses give the values and gradients that TensorFlow Addons gives."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_addons as tfa

from kerasdml import losses
from tests.addons.batches import LAYOUTS, SEEDS, batch

EUCLIDEAN = {"similarity": "euclidean", "margin": 1.0}
# Ours, theirs, and whether embeddings are normalised first, as Addons wants.
LOSSES = {
    "semi-hard": (
        losses.Triplet(negatives="semi_hard", **EUCLIDEAN),
        tfa.losses.TripletSemiHardLoss(margin=1.0),
        True,
    ),
    "semi-hard, small margin": (
        losses.Triplet(negatives="semi_hard", similarity="euclidean", margin=0.2),
        tfa.losses.TripletSemiHardLoss(margin=0.2),
        True,
    ),
    "hard": (
        losses.Triplet(negatives="hard", **EUCLIDEAN),
        tfa.losses.TripletHardLoss(margin=1.0),
        True,
    ),
    "hard, soft margin": (
        losses.Triplet(negatives="hard", similarity="euclidean", margin="soft"),
        tfa.losses.TripletHardLoss(soft=True),
        True,
    ),
    "lifted": (losses.LiftedStructure(), tfa.losses.LiftedStructLoss(), False),
    "lifted, wide margin": (
        losses.LiftedStructure(margin=3.0),
        tfa.losses.LiftedStructLoss(margin=3.0),
        False,
    ),
}


def value_and_gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return value.numpy(), tape.gradient(value, x).numpy()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("per_class", LAYOUTS)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_those_of_addons(name, per_class, seed):
    ours, theirs, normalised = LOSSES[name]
    labels, x = batch(seed, normalised, per_class)
    value, slopes = value_and_gradient(lambda e: ours(labels, e), x)
    expected, expected_slopes = value_and_gradient(lambda e: theirs(labels, e), x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slopes, expected_slopes, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_n_pairs_of_different_classes_are_those_of_addons(seed):
    # Addons takes the similarities of anchors and positives, and no embeddings.
    rng = np.random.default_rng(seed)
    classes, x = np.arange(7), rng.normal(size=(14, 6)).astype("float32")

    def theirs(e):
        products = tf.matmul(e[:7], e[7:], transpose_b=True)
        return tfa.losses.NpairsLoss()(classes, products)

    def ours(e):
        return losses.NPairs(l2_weight=0.0)(np.tile(classes, 2), e)

    value, slopes = value_and_gradient(ours, x)
    expected, expected_slopes = value_and_gradient(theirs, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slopes, expected_slopes, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_contrastive_pairs_are_the_square_roots_of_those_of_addons(seed):
    # Addons takes the distances of ready-made pairs, and squares the hinge.
    distances = np.random.default_rng(seed).uniform(0, 2, 12).astype("float32")
    for alike in (False, True):
        theirs = tfa.losses.ContrastiveLoss(margin=1.0, reduction="none")
        squares = theirs(np.full(12, alike), distances).numpy()
        ours = losses.Contrastive(
            similarity="euclidean", margin=-1.0, positive_margin=0.0
        )
        pairs = np.full((12, 1), alike), np.full((12, 1), not alike)
        costs = ours.pair_loss(tf.constant(-distances[:, None]), *pairs)
        np.testing.assert_allclose(costs, np.sqrt(squares), rtol=1e-5, atol=1e-6)
