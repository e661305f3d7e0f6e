import collections

import numpy as np
import pytest
from keras import ops

from kerasdml.layers import TransformationBank
from tests.conftest import compiled


def bank_of(size, dim=3, num_classes=3, **arguments):
    bank = TransformationBank(num_classes=num_classes, size=size, **arguments)
    bank.build(dim)
    return bank


def rows(bank, of_class):
    found = ops.convert_to_numpy(bank.bank)[:-1].reshape(
        bank.num_classes, bank.size, -1
    )
    return found[of_class]


def add(bank, labels, embeddings):
    labels = np.asarray(labels, "int32")
    classes = np.where(labels == -1, bank.num_classes, labels)
    bank.add(ops.convert_to_tensor(classes), ops.convert_to_tensor(embeddings))


V = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


@pytest.mark.parametrize(
    "size, order", [(3, [(3, 2), (1, 0), (2, 3)]), (2, [(2, 3), (3, 2)])]
)
def test_the_oldest_make_room(size, order):
    # Two embeddings have two differences: after two batches, four; the next of size 3
    # goes over the first.
    bank = bank_of(size)
    add(bank, [1, 1], V[:2])
    add(bank, [1, 1], V[2:])
    np.testing.assert_array_equal(rows(bank, 1), [V[i] - V[j] for i, j in order])
    assert not rows(bank, 0).any() and not rows(bank, 2).any()


def queues(batches, size, num_classes):
    """The definition: a queue a class, one ordered pair of rows at a time."""
    found = [collections.deque(maxlen=size) for _ in range(num_classes)]
    for labels, x in batches:
        for i, label in enumerate(labels):
            others = np.flatnonzero((labels == label) & (np.arange(len(x)) != i))
            for j in others[-size:]:
                if label != -1 and (x[i] != x[j]).any():
                    found[label].append(x[i] - x[j])
    return found


def batches():
    rng = np.random.default_rng(1)
    for _ in range(6):
        x = rng.normal(size=(12, 3)).astype("float32")
        x[3] = x[7]  # a picture that is there twice
        labels = np.minimum(rng.integers(-1, 4, 12), 2)
        labels[[3, 7]] = 1
        yield labels, x


def check_queues(bank):
    expected = queues(batches(), bank.size, 3)
    for label, queue in enumerate(expected):
        found = sorted(map(tuple, rows(bank, label)))
        np.testing.assert_allclose(found, sorted(map(tuple, queue)), rtol=1e-6)
    assert not ops.convert_to_numpy(bank.bank)[-1].any()


@pytest.mark.parametrize("size", [1, 3, 5])
def test_agrees_with_a_queue_a_class(size):
    bank = bank_of(size)
    for labels, x in batches():
        add(bank, labels, x)
    check_queues(bank)


@pytest.mark.tensorflow_alone
def test_agrees_with_it_under_xla():
    bank = bank_of(3)
    step = compiled(lambda labels, x: bank.add(labels, x))
    for labels, x in batches():
        step(np.where(labels == -1, 3, labels).astype("int32"), x)
    check_queues(bank)


def test_draws_what_is_there():
    bank = bank_of(4)
    assert not ops.convert_to_numpy(bank.drawn(*drawn_at([0, 3], [0.9, 0.5]))).any()
    add(bank, [0, 0, -1, -1], V)
    found = bank.drawn(*drawn_at([0, 0, 1, 3], [[0.49, 0.5, 0.9, 0.9]]))
    expected = [[V[0] - V[1], V[1] - V[0], 0 * V[0], 0 * V[0]]]
    np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)


def drawn_at(classes, shares):
    classes = ops.convert_to_tensor(np.array(classes, "int32"))
    return classes, ops.convert_to_tensor(np.array(shares, "float32"))


def test_can_be_kept_in_half_precision():
    bank = bank_of(2, bank_dtype="float16")
    assert bank.bank.dtype == "float16"
    add(bank, [0, 0], V[:2])
    np.testing.assert_allclose(rows(bank, 0), [V[0] - V[1], V[1] - V[0]], rtol=1e-3)
