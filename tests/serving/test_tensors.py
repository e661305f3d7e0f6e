"""Arrays on the wire, against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from kerasdml.serving.protos import DataType, TensorProto
from kerasdml.serving.tensors import to_array, to_proto

TYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool"


def arrays():
    for name in TYPES.split():
        yield np.array([[0, 1, 2], [3, 100, 1]]).astype(name)
        yield np.array(1).astype(name)
        yield np.zeros((0, 3), name)
    yield np.array([[b"a", b"\xff\x00"], [b"", b"c" * 300]], object)
    yield np.array(b"alone", object)
    yield np.array([], object)


each_array = pytest.mark.parametrize(
    "array", list(arrays()), ids=lambda a: f"{a.dtype}{list(a.shape)}"
)


@each_array
def test_tensorflow_reads_what_we_write(array):
    tensor = tf.make_ndarray(
        tensor_pb2.TensorProto.FromString(to_proto(array).SerializeToString())
    )
    assert tensor.dtype == array.dtype and tensor.shape == array.shape
    np.testing.assert_array_equal(tensor, array)


@each_array
def test_we_read_what_tensorflow_writes(array):
    # As content, and as a list of values whose last is written once.
    for value in (array, np.full((3, 2), array.ravel()[0]) if array.size else array):
        made = tf.make_tensor_proto(value, dtype=tf.as_dtype(array.dtype))
        tensor = to_array(TensorProto.FromString(made.SerializeToString()))
        assert tensor.dtype == array.dtype and tensor.shape == value.shape
        np.testing.assert_array_equal(tensor, value)


def test_the_last_value_stands_for_all_that_are_missing():
    tensor = proto("DT_INT32", [2, 3], int_val=[7, 8])
    np.testing.assert_array_equal(to_array(tensor), [[7, 8, 8], [8, 8, 8]])
    np.testing.assert_array_equal(to_array(proto("DT_FLOAT", [2])), [0, 0])
    # 0x3c00 are the bits of 1 as a half.
    half = proto("DT_HALF", [2], half_val=[0x3C00])
    np.testing.assert_array_equal(to_array(half), np.ones(2, np.float16))


def proto(dtype, shape, **values):
    tensor = TensorProto(dtype=DataType.values_by_name[dtype].number, **values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


@pytest.mark.parametrize(
    "tensor, message",
    [
        (proto("DT_INVALID", [1]), "known type. Received: data type 0"),
        (TensorProto(dtype=99), "known type. Received: data type 99"),
        (
            TensorProto(dtype=1, tensor_shape={"unknown_rank": True}),
            "Received: unknown",
        ),
        (proto("DT_FLOAT", [-1]), r"known shape of at most 32 axes. Received: \(-1,\)"),
        (proto("DT_FLOAT", [1] * 33), "at most 32 axes"),
        (proto("DT_FLOAT", [2**40, 2**40]), "at most 1000 bytes. Received: float32"),
        (proto("DT_STRING", [2**20], string_val=[b"a"]), "at most 1000 bytes"),
        (proto("DT_STRING", [20], string_val=[b"a" * 60]), "at most 1000 bytes"),
        (proto("DT_FLOAT", [2], tensor_content=b"1234567"), "Received: 7 bytes for fl"),
        (proto("DT_STRING", [1], tensor_content=b"\x01a"), "2 bytes for string"),
        (proto("DT_FLOAT", [1], float_val=[1, 2]), r"Received: 2 for \(1,\)"),
        (proto("DT_FLOAT", [0], float_val=[1]), r"Received: 1 for \(0,\)"),
        (proto("DT_UINT8", [1], int_val=[256]), "values in the range of uint8"),
        (proto("DT_INT8", [1], int_val=[-129]), "values in the range of int8"),
        (proto("DT_HALF", [1], half_val=[-1]), "values in the range of uint16"),
    ],
)
def test_refuses_what_is_no_tensor(tensor, message):
    with pytest.raises(ValueError, match=message):
        to_array(tensor, max_bytes=1000)
