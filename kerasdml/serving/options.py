"""What a server may be told, beyond what it serves and where."""

import dataclasses
import os
import re
import ssl
from collections.abc import Mapping, Sequence

from kerasdml.serving.images import MAX_PIXELS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a local server serves; `serve`, `start` and `app` take these by name.

    Rows of a batch must not depend on one another, as they do not in any signature that
    `export.saved_model` writes; `batch_size=1` serves other models, each request by one
    call.

    Args:
        versions: Which versions of the directory to serve: "latest", "latest:N" (the
            newest N), "all", or a list of numbers.
        labels: Names of versions for URLs and requests, as `{"stable": 3}`. These
            versions are served too, whatever `versions` says.
        poll: How often to look for new versions, in seconds, > 0. TF Serving: 1.
        batch_size: Most rows of one call of the model, >= 1. Requests are put together
            up to it, and a larger one is answered by several calls.
        batch_wait: How long a request may wait for others to share its batch, in
            seconds, >= 0. At 0 only what arrived while the model was busy is put
            together, which costs no latency. TF Serving: 0.001.
        batch_threads: Batches computed at a time, >= 1; default: number of CPUs.
        queue: Most requests that wait for a batch, >= 1; one more is answered 429 or
            RESOURCE_EXHAUSTED.
        concurrency: Most predictions under way, reading and writing included, >= 1; one
            more is answered likewise.
        timeout: Longest that a request may take, in seconds, > 0; then it is answered
            408 or 504, or DEADLINE_EXCEEDED.
        max_body: Largest request, in bytes, > 0. Memory for requests is at most
            a small multiple of `max_body * concurrency`.
        max_pixels: Largest height times width of an image that is decoded, > 0. A few
            kilobytes can claim gigabytes of pixels.
        token: Secret that requests must bear (`Authorization: Bearer TOKEN`), or None.
            `/healthz` needs none. Without TLS it can be read on the way.
        certificate: PEM file of the server's certificate chain, for TLS, or None.
        key: PEM file of its private key, without a pass phrase.

    Raises:
        ValueError: If one is out of its range, only one of `certificate` and `key` is
            given, or they are not what they should be.

    Example:

    >>> kerasdml.serving.serve("saved_models/cub200", versions=[3, 4], batch_size=32)
    """

    versions: str | Sequence[int] = "latest"
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    poll: float = 1.0
    batch_size: int = 64
    batch_wait: float = 0.0
    batch_threads: int | None = None
    queue: int = 256
    concurrency: int = 256
    timeout: float = 60.0
    max_body: int = 64 * 2**20  # some 500 photographs of 100 kB each, in base64
    max_pixels: int = MAX_PIXELS
    token: str | None = None
    certificate: str | os.PathLike | None = None
    key: str | os.PathLike | None = None

    def __post_init__(self):
        if not _are_versions(self.versions):
            raise ValueError(
                "`versions` must be 'latest', 'latest:N', 'all' or a list of numbers. "
                f"Received: versions={self.versions!r}."
            )
        for name in ("poll", "timeout", "max_body", "max_pixels"):
            self._check(name, getattr(self, name) > 0, "positive")
        for name in ("batch_size", "queue", "concurrency"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        self._check("batch_wait", self.batch_wait >= 0, "at least 0")
        if self.batch_threads is not None:
            self._check("batch_threads", self.batch_threads >= 1, "at least 1")
        if self.token is not None:
            # An empty one would let everybody in who sends "Bearer ".
            usable = self.token and self.token.isascii() and self.token.isprintable()
            if not usable or " " in self.token:
                raise ValueError("`token` must be a word of ASCII characters.")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` must be given together.")
        if self.certificate is not None:
            _check_pair(self.certificate, self.key)

    def _check(self, name, right, what):
        if not right:
            value = getattr(self, name)
            raise ValueError(f"`{name}` must be {what}. Received: {name}={value}.")

    @property
    def threads(self) -> int:
        return self.batch_threads or os.cpu_count() or 1


def _check_pair(certificate, key):
    try:
        # An empty pass phrase, as else somebody would be asked for one.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise ValueError(
            "`certificate` and `key` must be PEM files of a certificate and of its "
            f"private key, without a pass phrase. Received: {os.fspath(certificate)} "
            f"and {os.fspath(key)} ({error})."
        ) from error


def _are_versions(versions):
    if isinstance(versions, str):
        return re.fullmatch(r"all|latest(:[1-9]\d*)?", versions) is not None
    numbers = list(versions)
    return bool(numbers) and all(isinstance(n, int) and n >= 0 for n in numbers)
