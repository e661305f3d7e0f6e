"""What answers a request, whatever protocol it came by."""

import contextlib
import hmac
import threading

from kerasdml.serving.batching import PATIENCE, Batcher
from kerasdml.serving.errors import ServingError
from kerasdml.serving.live import LiveModel
from kerasdml.serving.model import ServedModel
from kerasdml.serving.options import Options
from kerasdml.serving.telemetry import Telemetry
from kerasdml.serving.warmup import warm


class Service:
    """One model with its limits and its counters, for REST and gRPC to share.

    Args:
        path: Directory of the versions, or one version.
        name: Of the model; default: that of the directory of the versions.
        options: An `Options`.

    Raises:
        Exception: As `LiveModel`.
    """

    def __init__(self, path, name: str | None, options: Options):
        self.options = options
        self.telemetry = Telemetry()
        self._slots = threading.Semaphore(options.concurrency)
        self._live = LiveModel(
            path,
            name,
            options.versions,
            options.labels,
            self._load,
            self.telemetry.load,
        )
        self._live.poll(options.poll)
        self.name = self._live.name

    def close(self):
        """Unloads the model; what hangs in it is given up."""
        self._live.close(PATIENCE)

    @property
    def versions(self) -> list[int]:
        """The versions that are available, newest first."""
        return self._live.numbers

    def check_token(self, authorization: str | None):
        """Refuses a request whose `Authorization` lacks the token, if there is one."""
        token = self.options.token
        expected = f"Bearer {token}".encode()
        given = (authorization or "").encode(errors="replace")
        # In constant time, so that answers do not tell how much of a guess is right.
        if token is not None and not hmac.compare_digest(given, expected):
            raise ServingError(
                401, "The request must bear the token: 'Authorization: Bearer TOKEN'."
            )

    def states(self, name: str, version: int | None = None, label: str | None = None):
        """The `VersionState` of one version or of all."""
        self._check_name(name)
        return self._live.states(version, label)

    @contextlib.contextmanager
    def model(self, name: str, version: int | None = None, label: str | None = None):
        """Lends the `Batcher` of a version.

        Raises:
            ServingError: If there is no such model, version or label.
        """
        self._check_name(name)
        with self._live.lease(version, label) as batcher:
            yield batcher

    @contextlib.contextmanager
    def slot(self):
        """Counts a prediction under way; refuses one too many."""
        if not self._slots.acquire(blocking=False):
            raise ServingError(
                429,
                f"The server is busy: {self.options.concurrency} predictions are under "
                "way. Try again later.",
            )
        try:
            with self.telemetry.in_flight.track_inprogress():
                yield
        finally:
            self._slots.release()

    def too_late(self) -> ServingError:
        """What to answer if there is no answer in time."""
        return ServingError(
            504, f"There was no answer within {self.options.timeout} seconds."
        )

    def _check_name(self, name):
        if name != self.name:
            raise ServingError(
                404, f"Unknown model {name!r}. This server has {self.name!r}."
            )

    def _load(self, version):
        options = self.options
        model = ServedModel(version, options.max_pixels)
        warm(model)
        return Batcher(
            model,
            options.batch_size,
            options.batch_wait,
            options.threads,
            options.queue,
            options.timeout,
            self.telemetry.batch,
        )
