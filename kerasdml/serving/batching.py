"""Several requests to one call of the model."""

import collections
import threading
import time
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from kerasdml.serving.errors import ServingError

# How long a model that is unloaded is waited for, in seconds. Requests have had their
# time by then, so a call that takes longer hangs, or its client has given up.
PATIENCE = 2.0


class Batcher:
    """Answers requests to a model, those that came together in one call.

    Requests to one signature are joined where all its inputs and outputs have a free
    first axis and the rest of their shapes agree. Where a joined call fails, each of
    its requests is called alone, so nobody pays for another's bad image. A request of
    more rows than a call may have is answered by several: a few megabytes can hold a
    hundred thousand tiny images, which would take any memory at once.

    Args:
        model: A `ServedModel`, kept in `model`.
        size: Most rows of a call, >= 1; 1 for each request to be one call.
        wait: How long the first of a batch may wait for more, in seconds.
        threads: Calls at a time.
        queue: Most requests that wait.
        timeout: Seconds after which nobody waits for an answer any more.
        on_batch: Called with the rows of each call.
    """

    def __init__(
        self, model, size, wait, threads, queue, timeout, on_batch=lambda rows: None
    ):
        self.model = model
        self._size = size
        self._wait = wait
        self._queue = queue
        self._timeout = timeout
        self._on_batch = on_batch
        self._waiting = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, signature, inputs: dict[str, np.ndarray]) -> Future:
        """Puts a request in the queue; its outputs are the result of the future.

        Raises:
            ServingError: If the inputs do not fit the signature, or too many wait.
        """
        self.model.check(signature, inputs)
        task = _Task(signature, inputs, *_joint(signature, inputs), Future(), _now())
        with self._changed:
            if len(self._waiting) >= self._queue:
                raise ServingError(
                    429,
                    f"The server is busy: {self._queue} requests wait already. "
                    "Try again later.",
                )
            self._waiting.append(task)
            self._changed.notify_all()
        return task.future

    def close(self):
        """Answers what waits, then stops. Nothing may be submitted afterwards.

        It waits `PATIENCE` for that; a model that takes longer is left to itself.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = _now() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, end - _now()))

    def _work(self):
        while batch := self._take():
            # False for requests whose client has given up.
            batch = [t for t in batch if t.future.set_running_or_notify_cancel()]
            if len(batch) < 2 or not self._answer_together(batch):
                for task in batch:
                    self._answer(task)
            # While the next is awaited, arrays of this one would stay.
            del batch

    def _take(self):
        """The tasks of the next call; none once the batcher is closed and empty."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            batch = [self._waiting.popleft()]
            until = batch[0].arrived + self._wait
            while batch[0].key is not None:
                rows = self._join(batch)
                left = until - _now()
                if rows >= self._size or left <= 0 or self._closed:
                    break
                self._changed.wait(left)
            return batch

    def _join(self, batch):
        """Moves what fits from the queue to the batch; gives the rows it has then."""
        rows, kept = sum(task.rows for task in batch), collections.deque()
        for task in self._waiting:
            if task.key == batch[0].key and rows + task.rows <= self._size:
                batch.append(task)
                rows += task.rows
            else:
                kept.append(task)
        self._waiting = kept
        return rows

    def _answer_together(self, batch):
        """Calls the model once for all tasks; says whether that gave their answers."""
        signature = batch[0].signature
        ends = np.cumsum([task.rows for task in batch])
        try:
            # Memory may run out here already, and the thread must live on.
            inputs = {
                name: np.concatenate([task.inputs[name] for task in batch])
                for name in signature.inputs
            }
            outputs = self.model.run(signature, inputs)
        except Exception:
            return False  # Whose fault it is shows when each is called alone.
        if any(array.shape[:1] != (ends[-1],) for array in outputs.values()):
            return False
        self._on_batch(int(ends[-1]))
        parts = {name: np.split(a, ends[:-1]) for name, a in outputs.items()}
        for i, task in enumerate(batch):
            task.future.set_result({name: part[i] for name, part in parts.items()})
        return True

    def _answer(self, task):
        try:
            outputs = self._outputs(task)
        except Exception as error:
            task.future.set_exception(error)
        else:
            task.future.set_result(outputs)

    def _outputs(self, task):
        """What the model gives for one task, in as many calls as its rows take."""
        if task.key is None or self._size == 1 or task.rows <= self._size:
            return self._call(task.signature, task.inputs, task.rows)
        parts = []
        for start in range(0, task.rows, self._size):
            if _now() > task.arrived + self._timeout:
                raise ServingError(504, "Nobody waits for this answer any more.")
            rows = slice(start, start + self._size)
            inputs = {name: array[rows] for name, array in task.inputs.items()}
            count = min(self._size, task.rows - start)
            parts.append(self._call(task.signature, inputs, count))
        return _stacked(parts, self._size)

    def _call(self, signature, inputs, rows):
        outputs = self.model.run(signature, inputs)
        self._on_batch(rows)
        return outputs


def _stacked(parts, size):
    """The outputs of several calls as those of one."""
    stacked = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if len({array.shape[1:] for array in arrays}) > 1:
            raise ServingError(
                400,
                f"Output `{name}` has rows of several lengths, as where each asks for "
                f"its own `k`, which a request may have of up to {size} rows. Send "
                "fewer examples at a time.",
            )
        stacked[name] = np.concatenate(arrays)
    return stacked


class _Task(NamedTuple):
    signature: object
    inputs: dict
    key: tuple | None  # Tasks of one key may be joined; None: with nothing.
    rows: int
    future: Future
    arrived: float


def _joint(signature, inputs):
    """What requests must share to be joined, None for nothing will do, and the rows."""
    specs = (*signature.inputs.values(), *signature.outputs.values())
    rows = {array.shape[:1] for array in inputs.values()}
    if not all(spec.has_batch for spec in specs) or len(rows) != 1:
        return None, 1
    ((count,),) = rows
    shapes = tuple((name, inputs[name].shape[1:]) for name in signature.inputs)
    return ((signature.name, shapes), count) if count else (None, 0)


def _now():
    return time.monotonic()
