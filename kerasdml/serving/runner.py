"""Running the local server: in the foreground, or behind a demo or a test."""

import contextlib
import signal
import socket
import threading
import time
from typing import NamedTuple

try:
    import uvicorn
except ImportError as error:
    raise ImportError(
        "The local server needs starlette and uvicorn: pip install kerasdml[serve]. "
        "`serving.Client` needs nothing."
    ) from error

from kerasdml.serving.options import Options
from kerasdml.serving.server import app_of
from kerasdml.serving.service import Service
from kerasdml.serving.signature import DEFAULT_SIGNATURE, IMAGES

# How long a connection may idle, in seconds; the shorter, the more often a client sends
# its next request just when it is closed.
KEEP_ALIVE = 75

# How long answers under way may take once the server is told to stop, in seconds.
GRACE = 10


def serve(
    path,
    host: str = "127.0.0.1",
    port: int = 8501,
    name: str | None = None,
    *,
    grpc_port: int | None = 8500,
    **options,
):
    """Serves a SavedModel by TF Serving's REST and gRPC APIs until Ctrl-C or SIGTERM.

    Prints the URL and a command to try. New versions in the directory are taken up, and
    answers under way are finished before it stops.

    Args:
        path: Directory of the versions, `<path>/<version>/saved_model.pb`, or one
            version.
        host: Address to listen on; the default is reached from this machine alone, and
            "0.0.0.0" from everywhere: then give a `token`, and TLS.
        port: Port for REST, 0 for any free one. TF Serving's own: 8501.
        name: Name of the model in URLs; default: that of the directory of the versions.
        grpc_port: Port for gRPC, 0 for any free one, None for none. TF Serving's own:
            8500.
        **options: Versions, batching, limits, token and TLS: see `Options`.

    Raises:
        OSError: If a port is taken.
        FileNotFoundError: If `path` holds no SavedModel.
        ImportError: If a package of the extra `serve` is missing, or scann where the
            model searches with it.
        ValueError: If an option is out of its range or the SavedModel is damaged.

    Example:

    >>> kerasdml.serving.serve("saved_models/cub200")
    """
    listener = _bind(host, port)
    # uvicorn stops gracefully on Ctrl-C and SIGTERM and then raises either again.
    with (
        contextlib.closing(listener),
        contextlib.suppress(KeyboardInterrupt),
        _sigterm_as_ctrl_c(),
    ):
        parts = _parts(path, host, name, grpc_port, options)
        # From here on connections wait in line, so the URL may be used once it is read.
        listener.listen()
        url = f"{parts.url(listener)}/v1/models/{parts.service.name}"
        numbers = ", ".join(map(str, parts.service.versions))
        also = f" and {parts.grpc_url}" if parts.grpc_url else ""
        print(f"Serving version {numbers} at {url}{also}. Ctrl-C stops it.")
        with parts.service.model(parts.service.name) as batcher:
            print(_example(batcher.model.signatures, url), flush=True)
        parts.run(listener)


def start(
    path,
    host: str = "127.0.0.1",
    port: int = 0,
    name: str | None = None,
    *,
    grpc_port: int | None = 0,
    **options,
) -> "Running":
    """Starts the server of `serve` in a thread and returns once it answers.

    Args:
        path: As for `serve`.
        host: As for `serve`.
        port: As for `serve`, but any free one by default.
        name: As for `serve`.
        grpc_port: As for `serve`, but any free one by default.
        **options: See `Options`.

    Returns:
        A `Running` server with `url`, `grpc_url`, `name` and `stop()`; also a context
        manager.

    Raises:
        OSError, FileNotFoundError, ImportError, ValueError: As `serve`.

    Example:

    >>> with kerasdml.serving.start("saved_models/cub200") as server:
    ...     kerasdml.serving.Client(server.url, server.name).search(["bird.jpg"])
    """
    listener = _bind(host, port)
    try:
        return Running(_parts(path, host, name, grpc_port, options), listener)
    except BaseException:
        listener.close()
        raise


class Running:
    """A server that answers from a thread of this process until `stop`.

    Args:
        parts: What it is made of.
        listener: The bound socket that REST is to listen on.
    """

    def __init__(self, parts, listener):
        self.name = parts.service.name
        self.url = parts.url(listener)
        self.grpc_url = parts.grpc_url
        self._server = parts.uvicorn
        self._thread = threading.Thread(target=parts.run, args=[listener], daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)

    def stop(self):
        """Stops the server once the answers under way are given; twice is once."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


class _Parts(NamedTuple):
    """One service and the servers that speak for it."""

    service: Service
    uvicorn: uvicorn.Server
    grpc: object | None
    grpc_url: str | None

    def url(self, listener):
        host, port = listener.getsockname()[:2]
        return _url("https" if self.uvicorn.config.is_ssl else "http", host, port)

    def run(self, listener):
        """Answers until uvicorn is told to stop; the app then stops the rest."""
        if self.grpc is not None:
            self.grpc.start()
        self.uvicorn.run(sockets=[listener])


def _parts(path, host, name, grpc_port, options):
    options = Options(**options)
    if grpc_port is not None:
        # Here, so that serving REST alone does without grpcio.
        from kerasdml.serving.grpc_server import grpc_server
    service = Service(path, name, options)
    grpc, grpc_url = None, None
    try:
        if grpc_port is not None:
            grpc, bound = grpc_server(service, host, grpc_port)
            secure = options.certificate is not None
            grpc_url = _url("grpcs" if secure else "grpc", host, bound)
    except BaseException:
        service.close()
        raise
    config = uvicorn.Config(
        app_of(service, on_stop=lambda: grpc and grpc.stop(GRACE).wait()),
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
    )
    return _Parts(service, uvicorn.Server(config), grpc, grpc_url)


@contextlib.contextmanager
def _sigterm_as_ctrl_c():
    """What a container engine sends is to stop the server as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals are for the main thread alone.
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bind(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By the protocol's name asyncio knows TCP, and does not keep small answers back for
    # 40 ms (Nagle's algorithm with delayed acknowledgements).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno,
            f"Cannot listen on port {port} of {host} ({error.strerror}). "
            "Choose another `port`, or 0 for any free one.",
        ) from error
    return listener


def _url(scheme, host, port):
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _example(signatures, url):
    default = signatures.get(DEFAULT_SIGNATURE)
    if default is None or list(default.inputs) != [IMAGES]:
        return f"Try: curl {url}/metadata"
    image = '{"b64": "\'$(base64 -w0 IMAGE)\'"}'
    return f"Try: echo '{{\"inputs\": [{image}]}}' | curl -d @- {url}:predict"
