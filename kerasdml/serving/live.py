"""The versions of a model that are served, as its directory changes."""

import contextlib
import gc
import logging
import threading
import traceback
from typing import NamedTuple

from kerasdml.serving.errors import ServingError
from kerasdml.serving.versions import chosen, versions

_log = logging.getLogger(__name__)


class VersionState(NamedTuple):
    """What TF Serving's `ModelVersionStatus` says of a version.

    Args:
        version: Its number.
        state: "LOADING", "AVAILABLE", "UNLOADING" or "END".
        code: "OK", or why it ended, by the name of a gRPC code.
        message: The same in words.
    """

    version: int
    state: str
    code: str = "OK"
    message: str = ""


class LiveModel:
    """Keeps loaded what a policy asks for, and lends it to requests.

    New versions are loaded and warmed up before old ones go, and old ones go when their
    last request is answered. A version that does not load is passed over until its
    files change, as is one that was found while it was still being copied; where the
    policy is "latest", the next newest stands in for it. What is loaded stays if
    nothing is found in the directory.

    Args:
        path: Directory of the versions, or one version.
        name: Of the model; default: that of the directory of the versions.
        policy: Which versions to serve, as `Options.versions`.
        labels: Names of versions; these are served too.
        load: From a `Version` to what is lent, which has `close()`.
        on_load: Called with the number of a version and whether it was loaded.

    Raises:
        FileNotFoundError: If `path` holds no SavedModel that the policy serves.
        Exception: What `load` raised, if nothing could be loaded.
    """

    def __init__(
        self, path, name, policy, labels, load, on_load=lambda version, loaded: None
    ):
        self._path = path
        self._policy = policy
        self._labels = dict(labels)
        self._load = load
        self._on_load = on_load
        self._loaded = {}
        self._states = {}
        self._failed = {}  # Number to what its files were like and the error.
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._poller = None
        self.name = next(iter(versions(path, name).values())).name
        self.refresh()
        if not self._loaded:
            raise self._why_nothing()

    def poll(self, seconds: float):
        """Looks at the directory again and again, from a thread, until `close`."""
        self._poller = threading.Thread(target=self._poll, args=[seconds], daemon=True)
        self._poller.start()

    def close(self, patience: float | None = None):
        """Unloads every version once its last request is answered.

        Args:
            patience: How long to wait for that, in seconds; then what is still lent is
                left as it is. Default: as long as it takes.
        """
        self._stop.set()
        if self._poller:
            self._poller.join(patience)
        for number in list(self._loaded):
            self._retire(number, patience)

    @property
    def numbers(self) -> list[int]:
        """The versions that are available, newest first."""
        with self._changed:
            return sorted(self._loaded, reverse=True)

    @contextlib.contextmanager
    def lease(self, version: int | None = None, label: str | None = None):
        """Lends what was loaded of a version, which is not closed meanwhile.

        Args:
            version: Its number; default: that of `label`, or the newest.
            label: Its label.

        Raises:
            ServingError: If there is no such version or label, or it is not loaded.
        """
        with self._changed:
            lent = self._loaded[self._number(version, label)]
            lent.leases += 1
        try:
            yield lent.served
        finally:
            with self._changed:
                lent.leases -= 1
                self._changed.notify_all()

    def states(self, version: int | None = None, label: str | None = None):
        """The `VersionState` of one version or, newest first, of all.

        Raises:
            ServingError: If there is no such version or label.
        """
        with self._changed:
            if version is None and label is None:
                return [self._states[n] for n in sorted(self._states, reverse=True)]
            number = self._labelled(label) if version is None else version
            if number not in self._states:
                raise self._unknown(number)
            return [self._states[number]]

    def refresh(self):
        """Looks at the directory once; loads and unloads what has changed."""
        found = versions(self._path, self.name)
        self._forget_what_changed(found)
        # A version that fails makes room for the next, so the choice is made anew.
        while missing := self._wanted(found) - self._loaded.keys():
            self._try(found[max(missing)])
        if wanted := self._wanted(found):
            for number in self._loaded.keys() - wanted:
                self._retire(number)

    def _wanted(self, found):
        usable = found.keys() - self._failed.keys()
        return {*chosen(self._policy, usable), *(usable & {*self._labels.values()})}

    def _forget_what_changed(self, found):
        for number, (before, _) in list(self._failed.items()):
            if number not in found or _looks(found[number].path) != before:
                del self._failed[number]
        with self._changed:
            for number in self._states.keys() - found.keys() - self._loaded.keys():
                del self._states[number]

    def _try(self, version):
        number = version.number
        self._tell(VersionState(number, "LOADING"))
        looks = _looks(version.path)
        try:
            served = self._load(version)
        except Exception as error:
            _let_go(error)
            self._failed[number] = looks, error
            self._tell(VersionState(number, "END", _code(error), str(error)))
            _log.warning("Version %d of %r: %s", number, self.name, error)
        else:
            with self._changed:
                self._loaded[number] = _Lent(served)
                self._states[number] = VersionState(number, "AVAILABLE")
            _log.info("Version %d of %r is served.", number, self.name)
        self._on_load(number, number in self._loaded)

    def _retire(self, number, patience=None):
        with self._changed:
            lent = self._loaded.pop(number)
            self._states[number] = VersionState(number, "UNLOADING")
            if not self._changed.wait_for(lambda: not lent.leases, patience):
                return
        lent.served.close()
        self._tell(VersionState(number, "END"))
        lent.served = None
        gc.collect()  # What TensorFlow loads holds itself in cycles.
        _log.info("Version %d of %r is no longer served.", number, self.name)

    def _tell(self, state):
        with self._changed:
            self._states[state.version] = state

    def _poll(self, seconds):
        while not self._stop.wait(seconds):
            try:
                self.refresh()
            except Exception as error:
                # A directory that is gone for a moment must not end the serving.
                _log.warning("Model %r: %s", self.name, error)

    def _number(self, version, label):
        if version is None and label is None:
            return max(self._loaded)
        number = self._labelled(label) if version is None else version
        if number not in self._loaded:
            raise self._unknown(number)
        return number

    def _labelled(self, label):
        if label not in self._labels:
            raise ServingError(
                400,
                f"Unknown label {label!r} of model {self.name!r}. "
                f"It has {', '.join(self._labels) or 'none'}.",
            )
        return self._labels[label]

    def _unknown(self, number):
        return ServingError(
            404,
            f"Unknown version {number} of model {self.name!r}. "
            f"It has {', '.join(map(str, sorted(self._loaded)))}.",
        )

    def _why_nothing(self):
        if self._failed:
            return self._failed[max(self._failed)][1]
        return FileNotFoundError(
            f"`path` must hold a version that `versions={self._policy!r}` serves. "
            f"Received: {self._path}."
        )


class _Lent:
    def __init__(self, served):
        self.served = served
        self.leases = 0


def _let_go(error):
    """Frees what functions had in hand when they failed, such as a whole model."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()  # What TensorFlow loads holds itself in cycles.


def _looks(path):
    """What changes when a file below a path does, without reading it."""
    stats = ((file, file.stat()) for file in sorted(path.rglob("*")))
    return [(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats]


def _code(error):
    """The name of the gRPC code that tells a failure to load best."""
    if isinstance(error, ImportError):
        return "FAILED_PRECONDITION"
    if isinstance(error, ValueError | OSError):
        return "DATA_LOSS"
    return "UNKNOWN"
