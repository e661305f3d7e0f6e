"""TensorFlow's tensors on the wire to NumPy's arrays and back, without TensorFlow.

Source: tensorflow/core/framework/tensor.proto: values lie in `tensor_content`, or in
the list of their type, whose last value stands for all that are missing.
"""

import math

import numpy as np

from kerasdml.serving.protos import DataType, TensorProto

# NumPy's dtype and the list of values, by the name of the type.
_TYPES = {
    "DT_FLOAT": (np.dtype(np.float32), "float_val"),
    "DT_DOUBLE": (np.dtype(np.float64), "double_val"),
    "DT_HALF": (np.dtype(np.float16), "half_val"),
    "DT_INT8": (np.dtype(np.int8), "int_val"),
    "DT_INT16": (np.dtype(np.int16), "int_val"),
    "DT_INT32": (np.dtype(np.int32), "int_val"),
    "DT_INT64": (np.dtype(np.int64), "int64_val"),
    "DT_UINT8": (np.dtype(np.uint8), "int_val"),
    "DT_UINT16": (np.dtype(np.uint16), "int_val"),
    "DT_UINT32": (np.dtype(np.uint32), "uint32_val"),
    "DT_UINT64": (np.dtype(np.uint64), "uint64_val"),
    "DT_BOOL": (np.dtype(bool), "bool_val"),
    "DT_STRING": (np.dtype(object), "string_val"),
}
_BY_NUMBER = {DataType.values_by_name[name].number: _TYPES[name] for name in _TYPES}
_NUMBERS = {
    dtype: DataType.values_by_name[name].number for name, (dtype, _) in _TYPES.items()
}

# NumPy 1 has as many; TensorFlow's own limit is 254.
_MAX_AXES = 32


def numpy_dtype(number: int) -> np.dtype:
    """NumPy's dtype of a `tensorflow.DataType`; strings are `object`.

    Raises:
        ValueError: If NumPy has none.
    """
    if number not in _BY_NUMBER:
        raise ValueError(f"must be of a known type. Received: data type {number}.")
    return _BY_NUMBER[number][0]


def to_proto(array: np.ndarray):
    """A `TensorProto` of an array; strings are `bytes` or `str` in an `object` one."""
    tensor = TensorProto(dtype=_NUMBERS[array.dtype])
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if array.dtype.kind == "O":
        values = array.ravel().tolist()
        tensor.string_val.extend(
            value.encode() if isinstance(value, str) else value for value in values
        )
    else:
        tensor.tensor_content = np.ascontiguousarray(array).tobytes()
    return tensor


def to_array(tensor, max_bytes: int = 2**40) -> np.ndarray:
    """The array of a `TensorProto`; strings are `bytes` in an `object` array.

    Args:
        tensor: A `TensorProto`.
        max_bytes: Largest array to make, repeated strings included: a few bytes may
            claim any shape.

    Raises:
        ValueError: If it is none, or larger. The message is a predicate, to be put
            after the name of the tensor.
    """
    dtype = numpy_dtype(tensor.dtype)
    shape = _shape(tensor.tensor_shape)
    count = math.prod(shape)
    values = getattr(tensor, _BY_NUMBER[tensor.dtype][1])
    size = count * dtype.itemsize
    if dtype.kind == "O" and values:
        size += (count - len(values)) * len(values[-1])
    if size > max_bytes:
        raise ValueError(
            f"must have at most {max_bytes} bytes. Received: {dtype} {shape}."
        )
    if tensor.tensor_content:
        return _from_content(tensor.tensor_content, dtype, shape, count)
    return _from_values(values, dtype, shape, count)


def _shape(proto):
    shape = tuple(dim.size for dim in proto.dim)
    if proto.unknown_rank or len(shape) > _MAX_AXES or min(shape, default=0) < 0:
        raise ValueError(
            f"must have a known shape of at most {_MAX_AXES} axes. "
            f"Received: {'unknown' if proto.unknown_rank else shape[: _MAX_AXES + 1]}."
        )
    return shape


def _from_content(content, dtype, shape, count):
    if dtype.kind == "O" or len(content) != count * dtype.itemsize:
        raise ValueError(
            f"must have the bytes of its shape. Received: {len(content)} bytes for "
            f"{'string' if dtype.kind == 'O' else dtype} {shape}."
        )
    return np.frombuffer(content, dtype).reshape(shape)


def _from_values(values, dtype, shape, count):
    if len(values) > count:
        raise ValueError(
            f"must have the values of its shape. Received: {len(values)} for {shape}."
        )
    if dtype.kind == "O":
        array = np.full(count, values[-1] if values else b"", dtype)
        array[: len(values)] = values
        return array.reshape(shape)
    given = _given(values, dtype)
    array = np.full(count, given[-1] if len(given) else 0, dtype)
    array[: len(given)] = given
    return array.reshape(shape)


def _given(values, dtype):
    # Types of a few bits share a list of 32-bit integers, and a half is its bits.
    stored = np.dtype(np.uint16) if dtype == np.float16 else dtype
    given = np.array(values, np.float64 if not len(values) else None)
    if stored.kind in "iu" and len(given):
        limits = np.iinfo(stored)
        if given.min() < limits.min or given.max() > limits.max:
            raise ValueError(f"must have values in the range of {stored}.")
    with np.errstate(over="ignore"):
        return given.astype(stored).view(dtype)
