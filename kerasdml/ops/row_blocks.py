"""Functions of rows, a few rows at a time."""

import keras
from keras import ops


def by_row_blocks(function, rows, constants, blocks):
    """Calls `function(rows, constants)` on parts of `rows`, one after another.

    What a part computes is thrown away and computed again on the way back, so that
    there is never more of it in memory than one part's.

    Args:
        function: Gives a tuple of `(b,)` floats, one number a row.
        rows: Named tuple of `(q, …)` arrays that are cut; integers are padded with -1,
            floats with 0. Gradients flow into floats.
        constants: Named tuple of arrays that each part gets whole, likewise.
        blocks: Number of parts.

    Returns:
        The tuple that `function` gives for all rows, each `(q,)`.
    """
    size = ops.shape(rows[0])[0]
    part = (size + blocks - 1) // blocks

    def call(cut):
        # Floats are arguments: into what a function merely sees, recomputation lets no
        # gradient flow.
        def again(*floats):
            floats = iter(floats)
            own, shared = (
                type(x)(*(next(floats) if _is_float(y) else y for y in x))
                for x in (type(rows)(*cut), constants)
            )
            return ops.stack(function(own, shared))

        return keras.remat(again)(*(x for x in (*cut, *constants) if _is_float(x)))

    found = _map(call, tuple(_cut(x, blocks, part) for x in rows))
    found = ops.moveaxis(found, 1, 0)
    return tuple(ops.reshape(x, (-1,))[:size] for x in ops.unstack(found, axis=0))


def _cut(x, blocks, part):
    missing = blocks * part - ops.shape(x)[0]
    widths = [[0, missing], *([0, 0] for _ in x.shape[1:])]
    x = ops.pad(x, widths, constant_values=0 if _is_float(x) else -1)
    return ops.reshape(x, (blocks, part, *ops.shape(x)[1:]))


def _map(function, xs):
    if keras.backend.backend() != "tensorflow":
        return ops.map(function, xs)
    import tensorflow as tf

    # By default ten parts would be under way at once, and in memory.
    kind = next(x.dtype for x in xs if _is_float(x))
    return tf.map_fn(function, xs, parallel_iterations=1, fn_output_signature=kind)


def _is_float(x):
    return "float" in keras.backend.standardize_dtype(x.dtype)
