"""Large weights of which a step reads and writes a few rows.

On TensorFlow `ops.take` and `assign` copy a weight as a whole.
"""

import keras
from keras import ops


def read_rows(weight, rows):
    """Returns the `rows (…)` of a weight `(n, d)`, `(…, d)`."""
    if _is_one_variable(weight):
        return weight.value.sparse_read(rows)
    return ops.take(weight, rows, axis=0)


def set_rows(weight, rows, values):
    """Sets `rows (m,)` of a weight `(n, d)` to `values (m, d)`."""
    if _is_one_variable(weight):
        weight.value.scatter_nd_update(rows[:, None], values)
    else:
        weight.assign(ops.scatter_update(weight, rows[:, None], values))


def add_to_rows(weight, rows, values):
    """Adds `values (m, d)` to `rows (m,)` of a weight; a row may be there twice."""
    if _is_one_variable(weight):
        weight.value.scatter_nd_add(rows[:, None], values)
    else:
        added = ops.scatter_update(weight, rows[:, None], values, reduction="add")
        weight.assign(added)


def _is_one_variable(weight):
    """Says whether it is one variable of TensorFlow, not one for each replica."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    value = weight.value
    return isinstance(value, tf.Variable) and not isinstance(
        value, tf.distribute.DistributedValues
    )
