import keras
import numpy as np

from kerasdml.layers import OrthogonalFusion
from tests.conftest import value_and_gradient


def test_value_worked_by_hand():
    # (2, 0) is (1, 1) along (1, 1) and (1, -1) beyond it; (0, 4) is (2, 2) and (-2, 2).
    features = np.array([[[[2.0, 0.0]], [[0.0, 4.0]]]], "float32")
    overall = np.array([[1.0, 1.0]], "float32")
    layer = OrthogonalFusion()
    np.testing.assert_allclose(layer(features[:, :1], overall), [[1, 1, 1, -1]])
    np.testing.assert_allclose(layer(features, overall), [[1, 1, -0.5, 0.5]])


def test_agrees_with_the_formula_at_each_position():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(2, 3, 5, 4))
    overall = generator.normal(size=(2, 4))
    expected = np.zeros((2, 8))
    for i in range(2):
        beyond = [
            local - local @ overall[i] / (overall[i] @ overall[i]) * overall[i]
            for local in features[i].reshape(-1, 4)
        ]
        expected[i] = [*overall[i], *np.mean(beyond, axis=0)]
    found = OrthogonalFusion()(features.astype("float32"), overall.astype("float32"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.sum(found[:, 4:] * overall, axis=1), 0, atol=1e-6)


def test_a_global_feature_of_zero_takes_nothing_away():
    features = np.ones((1, 2, 2, 3), "float32")
    layer, overall = OrthogonalFusion(), np.zeros((1, 3), "float32")
    np.testing.assert_allclose(layer(features, overall), [[0, 0, 0, 1, 1, 1]])
    _, slopes = value_and_gradient(lambda x: keras.ops.sum(layer(features, x)), overall)
    assert np.isfinite(slopes).all()


def test_config_round_trip():
    layer = OrthogonalFusion(name="fusion")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()
    assert twin.compute_output_shape((None, 7, 7, 3), (None, 3)) == (None, 6)
