"""Which requests share a call, by a model that says what it was called with."""

import threading
import time
from concurrent import futures

import numpy as np
import pytest

from kerasdml.serving import ServingError, batching
from kerasdml.serving.batching import Batcher
from kerasdml.serving.signature import Signature, TensorSpec

ROWS = TensorSpec(np.dtype("float32"), (None, None))
DOUBLE = Signature("double", {"x": ROWS}, {"y": ROWS})
FIXED = Signature("fixed", {"x": TensorSpec(np.dtype("float32"), (2,))}, {"y": ROWS})
SUM = Signature("sum", {"x": ROWS}, {"y": TensorSpec(np.dtype("float32"), ())})
LYING = Signature("lying", {"x": ROWS}, {"y": ROWS})


class Doubling:
    """Doubles; refuses negative numbers; waits for `go` where it is given 7."""

    def __init__(self):
        self.calls = []
        self.busy, self.go = threading.Event(), threading.Event()

    def check(self, signature, inputs):
        signature.check_arrays(inputs)

    def run(self, signature, inputs):
        x = inputs["x"]
        self.calls.append((signature.name, len(x)))
        if (x == 7).any():
            self.busy.set()
            assert self.go.wait(10)
        if (x < 0).any():
            raise ServingError(400, "negative")
        return {"y": x[:1] if signature is LYING else 2 * x}


def batcher_of(model, size=8, wait=0.0, threads=1, queue=100, timeout=60.0):
    return Batcher(model, size, wait, threads, queue, timeout)


@pytest.fixture
def model():
    return Doubling()


@pytest.fixture
def queued(model):
    """A batcher whose only thread is busy, so that what is submitted waits."""
    batcher = batcher_of(model)
    blocker = batcher.submit(DOUBLE, rows(7))
    assert model.busy.wait(10)
    yield batcher
    model.go.set()
    batcher.close()
    assert blocker.result(0)["y"] == [[14]]


def rows(*values, width=1):
    return {"x": np.repeat(np.float32(values)[:, None], width, axis=1)}


def results(asked):
    return [future.result(10)["y"][:, 0].tolist() for future in asked]


def test_what_waits_is_answered_in_one_call_each_its_own(model, queued):
    asked = [queued.submit(DOUBLE, rows(*v)) for v in ([1], [2, 3], [4])]
    model.go.set()
    assert results(asked) == [[2], [4, 6], [8]]
    assert model.calls == [("double", 1), ("double", 4)]


def test_a_call_has_no_more_rows_than_asked(model, queued):
    asked = [queued.submit(DOUBLE, rows(*[1] * count)) for count in (5, 4, 3, 20)]
    model.go.set()
    assert [len(result) for result in results(asked)] == [5, 4, 3, 20]
    assert [count for _, count in model.calls] == [1, 8, 4, 8, 8, 4]


def test_a_large_request_is_one_call_where_rows_may_depend_on_one_another(model):
    batcher = batcher_of(model, size=1)
    assert results([batcher.submit(DOUBLE, rows(1, 2, 3))]) == [[2, 4, 6]]
    assert model.calls == [("double", 3)]
    batcher.close()


def test_a_large_request_ends_when_nobody_waits_for_it(model):
    batcher = batcher_of(model, size=2, timeout=0.1)
    asked = batcher.submit(DOUBLE, rows(7, 7, 1, 2, 3))
    assert model.busy.wait(10)
    time.sleep(0.2)
    model.go.set()
    with pytest.raises(ServingError, match="Nobody waits"):
        asked.result(10)
    assert model.calls == [("double", 2)]
    batcher.close()


def test_a_large_request_must_have_rows_of_one_length(model, monkeypatch):
    def run(signature, inputs):
        return {"y": np.ones((len(inputs["x"]), int(inputs["x"].max())))}

    monkeypatch.setattr(model, "run", run)
    batcher = batcher_of(model, size=2)
    assert batcher.submit(DOUBLE, rows(1, 3, 3, 2)).result(10)["y"].shape == (4, 3)
    with pytest.raises(ServingError, match="`y` has rows of several .* up to 2 rows"):
        batcher.submit(DOUBLE, rows(1, 3, 2)).result(10)
    batcher.close()


def test_only_what_fits_together_is_joined(model, queued):
    asked = [
        queued.submit(DOUBLE, rows(1)),
        queued.submit(DOUBLE, rows(2, width=2)),
        queued.submit(SUM, rows(3)),
        queued.submit(FIXED, {"x": np.float32([4, 4])}),
        queued.submit(DOUBLE, rows(5)),
        queued.submit(SUM, rows(6)),
    ]
    model.go.set()
    assert [float(f.result(10)["y"].ravel()[0]) for f in asked] == [2, 4, 6, 8, 10, 12]
    assert model.calls[1:] == [
        ("double", 2),
        ("double", 1),
        ("sum", 1),
        ("fixed", 2),
        ("sum", 1),
    ]


def test_a_bad_request_does_not_spoil_its_neighbours(model, queued):
    asked = [queued.submit(DOUBLE, rows(v)) for v in (1, -1, 3)]
    model.go.set()
    with pytest.raises(ServingError, match="negative"):
        asked[1].result(10)
    assert results([asked[0], asked[2]]) == [[2], [6]]


def test_outputs_that_are_not_by_row_are_computed_alone(model, queued):
    asked = [queued.submit(LYING, rows(v, v)) for v in (1, 2)]
    model.go.set()
    assert results(asked) == [[1], [2]]


def test_a_full_queue_refuses(model):
    batcher = batcher_of(model, queue=2)
    batcher.submit(DOUBLE, rows(7))
    assert model.busy.wait(10)
    asked = [batcher.submit(DOUBLE, rows(1)) for _ in range(2)]
    with pytest.raises(ServingError, match="busy: 2 requests wait") as caught:
        batcher.submit(DOUBLE, rows(1))
    assert caught.value.status == 429
    model.go.set()
    assert results(asked) == [[2], [2]]
    batcher.close()


def test_nothing_is_computed_for_clients_that_gave_up(model, queued):
    gone, stays = (queued.submit(DOUBLE, rows(v)) for v in (1, 2))
    assert gone.cancel()
    model.go.set()
    assert results([stays]) == [[4]]
    assert model.calls[1:] == [("double", 1)]


def test_the_first_waits_for_others_if_told_to(model):
    batcher = batcher_of(model, size=2, wait=5.0)
    start = time.monotonic()
    asked = [batcher.submit(DOUBLE, rows(v)) for v in (1, 2)]
    assert results(asked) == [[2], [4]]
    assert time.monotonic() - start < 4, "a full batch does not wait any longer"
    assert model.calls == [("double", 2)]
    batcher.close()


def test_close_answers_what_waits(model):
    batcher = batcher_of(model)
    asked = [batcher.submit(DOUBLE, rows(v)) for v in (7, 1, 2)]
    model.go.set()
    batcher.close()
    assert [future.done() for future in asked] == [True] * 3


def test_close_gives_up_on_a_model_that_hangs(model, monkeypatch):
    monkeypatch.setattr(batching, "PATIENCE", 0.1)
    batcher = batcher_of(model)
    asked = batcher.submit(DOUBLE, rows(7))
    assert model.busy.wait(10)
    batcher.close()
    assert not asked.done()
    model.go.set()
    assert results([asked]) == [[14]]


def test_a_thread_outlives_a_lack_of_memory(model, queued, monkeypatch):
    def concatenate(arrays):
        raise MemoryError

    monkeypatch.setattr(np, "concatenate", concatenate)
    asked = [queued.submit(DOUBLE, rows(v)) for v in (1, 2)]
    model.go.set()
    assert results(asked) == [[2], [4]]


def test_many_threads_each_get_their_own(model):
    batcher = batcher_of(model, threads=3, queue=400)
    values = list(range(8, 408))
    with futures.ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda v: batcher.submit(DOUBLE, rows(v)), values))
    assert results(asked) == [[2 * v] for v in values]
    batcher.close()
