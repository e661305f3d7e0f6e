import numpy as np
import pytest

from kerasdml.losses import GlobalOrthogonal
from tests.conftest import value_and_gradient
from tests.losses.conftest import cosines, masks


def test_agrees_with_the_formula(unbalanced):
    labels, embeddings = unbalanced
    s = cosines(embeddings)[masks(labels)[1]]
    expected = np.mean(s) ** 2 + max(0.0, np.mean(s**2) - 1 / 4)
    value = GlobalOrthogonal()(labels, embeddings)
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-7)


def test_value_worked_by_hand(at_angles):
    # Cosines 1, 0.5 and 0.5 between three classes, each pair seen from both ends:
    # (2 / 3)^2 + (1 + 0.25 + 0.25) / 3 - 1 / 2.
    value = GlobalOrthogonal()(np.arange(3), at_angles(0, 0, 60))
    np.testing.assert_allclose(value, 4 / 9, rtol=1e-6)


@pytest.mark.parametrize("angle, away", [(40, True), (130, False)])
def test_negatives_are_drawn_to_right_angles(at_angles, angle, away):
    loss = GlobalOrthogonal()
    e = at_angles(0, angle)
    _, gradient = value_and_gradient(lambda x: loss(np.arange(2), x), e)
    # The other is at the upper side, so a step down is away from it.
    assert (-gradient[0, 1] < 0) == away


def test_positives_are_left_alone(at_angles):
    loss = GlobalOrthogonal()
    e = at_angles(0, 10, 95)
    _, gradient = value_and_gradient(lambda x: loss(np.array([0, 0, 0]), x), e)
    assert (gradient == 0).all()


def test_orthogonal_classes_and_one_class_alone_cost_nothing():
    e = np.eye(4, dtype="float32")
    assert GlobalOrthogonal()(np.arange(4), e) == 0
    assert GlobalOrthogonal()(np.zeros(4, int), np.ones((4, 4), "float32")) == 0


def test_a_weight_for_an_example_has_no_meaning():
    with pytest.raises(ValueError, match="`sample_weight` has no meaning"):
        GlobalOrthogonal()(np.arange(4), np.eye(4), np.ones(4))
