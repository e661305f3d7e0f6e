import numpy as np
import pytest
from keras import ops

from kerasdml.layers import ChannelFrequencies


def recorded(batches, **arguments):
    layer = ChannelFrequencies(num_classes=2, top_k=1, **arguments)
    layer.build(3)
    for classes, x in batches:
        classes = ops.convert_to_tensor(np.array(classes, "int32"))
        layer.record(classes, ops.convert_to_tensor(np.array(x, "float32")))
    return layer


def test_counts_the_largest_channel_of_each_class():
    layer = recorded(
        [([1, 1, 0, 2], [[0.6, 0.8, 0], [0, 1, 0], [-5, -1, -2], [1, 0, 0]])]
    )
    expected = [[0, 1, 0], [0, 2, 0], [1, 0, 0]]
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.counts), expected)
    classes = ops.convert_to_tensor(np.array([1, 0, 2], "int32"))
    np.testing.assert_array_equal(layer.frequent(classes), [[1], [1], [0]])


@pytest.mark.parametrize("decay, expected", [(1.0, [2, 2, 0]), (0.5, [1, 2, 0])])
def test_a_step_with_a_class_lets_its_counts_decay_once(decay, expected):
    first, second = [[1, 0, 0]] * 2, [[0, 1, 0]] * 2
    batches = [([0, 0], first), ([1, 1], first), ([0, 0], second)]
    layer = recorded(batches, decay=decay)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer.counts), [expected, [2, 0, 0], [0, 0, 0]]
    )
