import numpy as np

from kerasdml.losses import ZeroMean
from tests.conftest import value_and_gradient


def test_is_the_size_of_each_embeddings_sum():
    embeddings = np.array([[1.0, 2.0], [-4.0, 1.0], [2.0, -2.0]], "float32")
    labels = np.arange(3)
    np.testing.assert_allclose(
        ZeroMean(reduction="none")(labels, embeddings), [3, 3, 0]
    )
    loss = ZeroMean()
    value, gradient = value_and_gradient(lambda x: loss(labels, x), embeddings)
    np.testing.assert_allclose(value, 2.0)
    np.testing.assert_allclose(gradient * 3, [[1, 1], [-1, -1], [0, 0]])
