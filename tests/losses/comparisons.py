"""Batches to compare losses with those of other libraries on, and values kept of these.

A case is a loss of another library and its equal here. It has at least `loss`, which
gives the same value of `labels (q,)` and `embeddings (q, d)`; `factor`, what to
multiply that value by; `layouts`, of `LAYOUTS`, on which they are equal; and
`normalized`, whether both are to be given the embeddings normalised. Its name is
`str(case)`.
"""

import json

import keras
import numpy as np

from kerasdml.losses.base import MetricLoss
from tests.conftest import compiled, value_and_gradient

DIM = 8
LAYOUTS = {
    "pairs": np.repeat(np.arange(8), 2),
    "four of each": np.repeat(np.arange(4), 4),
    "uneven": np.repeat(np.arange(4), [2, 3, 4, 7]),
    "one alone": np.repeat(np.arange(4), [1, 4, 5, 6]),
}
WITHOUT_ALONE = ("pairs", "four of each", "uneven")


def batch(seed, layout, unit):
    """Draws `labels (16,)` and `embeddings (16, DIM)`, unit vectors or three as long.

    `RandomState`, because its stream is the same in every version of NumPy.
    """
    random = np.random.RandomState(seed)
    labels = LAYOUTS[layout]
    if layout != "pairs":  # of which N-pair losses read every second as the anchor
        labels = random.permutation(labels)
    embeddings = random.normal(size=(labels.size, DIM))
    if unit:
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return labels, embeddings.astype("float32")


def batches(case, seeds, units=(True, False)):
    """Lists the `seed, layout, unit` of each batch on which the two are equal."""
    return [
        (seed, layout, unit)
        for seed in seeds
        for layout in case.layouts
        for unit in units
    ]


def weights(loss):
    """Returns the trained variables of `loss`, and what is drawn for each of them."""
    if not isinstance(loss, MetricLoss):
        return [], []
    loss.build(DIM)
    variables = [v for layer in loss.layers for v in layer.trainable_variables]
    random = np.random.RandomState(7)
    return variables, [
        random.normal(size=variable.shape).astype("float32") for variable in variables
    ]


def ours(case):
    """Returns `gives(labels, embeddings)`: the value of `case` here, and its gradient.

    The gradient is one vector: by the embeddings, then by the loss's `weights`.
    """
    variables, drawn = weights(case.loss)
    shapes = [(16, DIM), *(np.shape(x) for x in drawn)]
    ends = np.cumsum([np.prod(shape) for shape in shapes])

    def value(labels, x):
        e, *others = (
            keras.ops.reshape(x[end - np.prod(shape) : end], shape)
            for shape, end in zip(shapes, ends, strict=True)
        )
        if case.normalized:
            e = keras.ops.normalize(e, axis=1)
        mapping = list(zip(variables, others, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return case.factor * case.loss(labels, e)

    gives = value_and_gradient_of(value)
    return lambda labels, embeddings: gives(labels, flat([embeddings, *drawn]))


def value_and_gradient_of(function):
    """Returns what gives the value of `function(labels, x)` and its gradient by `x`."""
    if keras.backend.backend() != "jax":
        return lambda labels, x: value_and_gradient(lambda x: function(labels, x), x)
    import jax

    # Run a few times only, it need not be fast.
    options = {"xla_backend_optimization_level": 0}
    both = jax.jit(jax.value_and_grad(function, argnums=1), compiler_options=options)
    return lambda labels, x: tuple(map(np.asarray, both(labels, x)))


def compiled_where_quicker(function):
    """Compiles on JAX, which else compiles each operation by itself."""
    return compiled(function) if keras.backend.backend() == "jax" else function


def flat(arrays):
    return np.concatenate([np.ravel(x) for x in arrays])


def check(case, theirs, which):
    """Raises an `AssertionError` unless values and gradients are alike on batches.

    Args:
        case: As described above.
        theirs: `theirs(case, labels, embeddings)` returns the other library's.
        which: The batches, `(seed, layout, unit)` each.
    """
    gives, rtol = ours(case), getattr(case, "rtol", 1e-5)
    for drawn in which:
        expected, slopes = theirs(case, *batch(*drawn))
        value, gradient = gives(*batch(*drawn))
        at = f"{case} {drawn}"
        np.testing.assert_allclose(value, expected, rtol=rtol, atol=1e-9, err_msg=at)
        np.testing.assert_allclose(
            gradient,
            np.ravel(slopes),
            rtol=10 * rtol,
            atol=rtol * np.abs(slopes).max() + 1e-8,
            err_msg=at,
        )


def slope(seed, gradient):
    """Returns the slope along a drawn direction; it stands for the whole gradient."""
    return np.sum(
        np.ravel(gradient) * np.random.RandomState(seed + 1).normal(size=gradient.size)
    )


def recorded(cases, theirs, *which):
    """Returns value and slope of each case, on each batch.

    Args:
        cases: As described above.
        theirs: `theirs(case, labels, embeddings)` returns the other library's value
            and gradient.
        *which: Of the batches, `seeds` and `units` of `batches`.
    """
    rows = []
    for case in cases:
        for seed, layout, unit in batches(case, *which):
            value, gradient = theirs(case, *batch(seed, layout, unit))
            rows.append(
                {
                    "case": str(case),
                    "seed": seed,
                    "layout": layout,
                    "unit": unit,
                    "value": float(f"{value:.7g}"),
                    "slope": float(f"{slope(seed, gradient):.7g}"),
                }
            )
    return rows


def check_same(old, new):
    """Raises an `AssertionError` unless two lists of rows are alike."""
    for kept, now in zip(old, new, strict=True):
        assert {**kept, "value": 0, "slope": 0} == {**now, "value": 0, "slope": 0}
        for name in ("value", "slope"):
            np.testing.assert_allclose(
                kept[name], now[name], rtol=1e-4, atol=1e-5, err_msg=str(kept)
            )


def write(path, library, version, rows):
    """Writes `rows` as JSON with one of them a line."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    text = f'{{"{library}": {json.dumps(version)}, "values": [\n{lines}\n]}}\n'
    path.write_text(text)
