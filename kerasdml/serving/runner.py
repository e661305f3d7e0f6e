"""Running the local server: in the foreground, or behind a demo or a test."""

import contextlib
import socket
import threading
import time

try:
    import uvicorn
except ImportError as error:
    raise ImportError(
        "The local server needs starlette and uvicorn: pip install kerasdml[serve]. "
        "`serving.Client` needs nothing."
    ) from error

from kerasdml.serving.server import MAX_BODY, app
from kerasdml.serving.signature import DEFAULT_SIGNATURE, IMAGES

# How long answers under way may take once the server is told to stop, in seconds.
GRACE = 10


def serve(
    path,
    host: str = "127.0.0.1",
    port: int = 8501,
    name: str | None = None,
    *,
    max_body: int = MAX_BODY,
):
    """Serves a SavedModel's newest version as TF Serving's REST API until Ctrl-C.

    Prints the URL and a command to try. Answers under way are finished before it stops.

    Args:
        path: Directory of the versions, `<path>/<version>/saved_model.pb`, or one
            version.
        host: Address to listen on; the default is reached from this machine alone, and
            "0.0.0.0" from everywhere, without a password.
        port: Port to listen on, 0 for any free one. TF Serving's own: 8501.
        name: Name of the model in URLs; default: that of the directory of the versions.
        max_body: Largest body of a request, in bytes, 64 MiB by default.

    Raises:
        OSError: If the port is taken.
        FileNotFoundError: If `path` holds no SavedModel.
        ImportError: If starlette or uvicorn is missing, or scann where the model
            searches with it.

    Example:

    >>> kerasdml.serving.serve("saved_models/cub200")
    """
    listener = _bind(host, port)
    # uvicorn stops gracefully on Ctrl-C and then raises it again.
    with contextlib.closing(listener), contextlib.suppress(KeyboardInterrupt):
        server, model = _server(path, name, max_body)
        # From here on connections wait in line, so the URL may be used once it is read.
        listener.listen()
        url = f"{_url(listener)}/v1/models/{model.name}"
        print(f"Serving version {model.version} at {url}. Ctrl-C stops it.")
        print(_example(model, url), flush=True)
        server.run(sockets=[listener])


def start(
    path,
    host: str = "127.0.0.1",
    port: int = 0,
    name: str | None = None,
    *,
    max_body: int = MAX_BODY,
) -> "Running":
    """Starts the server of `serve` in a thread and returns once it answers.

    Args:
        path: As for `serve`.
        host: As for `serve`.
        port: As for `serve`, but any free one by default.
        name: As for `serve`.
        max_body: As for `serve`.

    Returns:
        A `Running` server with `url`, `name` and `stop()`; also a context manager.

    Raises:
        OSError, FileNotFoundError, ImportError: As `serve`.

    Example:

    >>> with kerasdml.serving.start("saved_models/cub200") as server:
    ...     kerasdml.serving.Client(server.url, server.name).search(["bird.jpg"])
    """
    listener = _bind(host, port)
    try:
        server, model = _server(path, name, max_body)
        return Running(server, listener, model.name)
    except BaseException:
        listener.close()
        raise


class Running:
    """A server that answers from a thread of this process until `stop`.

    Args:
        server: A `uvicorn.Server`.
        listener: The bound socket it is to listen on.
        name: Name of its model, kept in `name`.
    """

    def __init__(self, server, listener, name: str):
        self.name = name
        self.url = _url(listener)
        self._server = server
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, daemon=True
        )
        self._thread.start()
        while not server.started and self._thread.is_alive():
            time.sleep(0.01)

    def stop(self):
        """Stops the server once the answers under way are given; twice is once."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def _bind(host, port):
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
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


def _server(path, name, max_body):
    asgi = app(path, name, max_body=max_body)
    config = uvicorn.Config(
        asgi, log_level="warning", lifespan="off", timeout_graceful_shutdown=GRACE
    )
    return uvicorn.Server(config), asgi.state.model


def _url(listener):
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _example(model, url):
    default = model.signatures.get(DEFAULT_SIGNATURE)
    if default is None or list(default.inputs) != [IMAGES]:
        return f"Try: curl {url}/metadata"
    image = '{"b64": "\'$(base64 -w0 IMAGE)\'"}'
    return f"Try: echo '{{\"inputs\": [{image}]}}' | curl -d @- {url}:predict"
