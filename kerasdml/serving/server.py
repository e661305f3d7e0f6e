"""The local server: TF Serving's REST API over one SavedModel, as an ASGI app."""

try:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.endpoints import HTTPEndpoint
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as error:
    raise ImportError(
        "The local server needs starlette and uvicorn: pip install kerasdml[serve]. "
        "`serving.Client` needs nothing."
    ) from error

from kerasdml.serving import rest
from kerasdml.serving.errors import ServingError
from kerasdml.serving.model import ServedModel
from kerasdml.serving.versions import latest

# Some 500 photographs of 100 kB each, in base64.
MAX_BODY = 64 * 2**20


def app(path, name: str | None = None, *, max_body: int = MAX_BODY) -> Starlette:
    """An ASGI app that answers for the newest version of a SavedModel.

    `GET /v1/models/NAME`, `GET /v1/models/NAME/metadata` and
    `POST /v1/models/NAME:predict`, each also with `/versions/V` after the name, take
    and give what TF Serving takes and gives. Errors are `{"error": "<message>"}` with
    status 400 (the request does not fit), 404 (no such model, version or URL), 405
    (method), 413 (larger than `max_body`), or 500 (the model or server is at fault).

    Args:
        path: Directory of the versions, `<path>/<version>/saved_model.pb`, or one
            version.
        name: Name of the model in URLs; default: that of the directory of the versions.
        max_body: Largest body of a request, in bytes, 64 MiB by default.

    Raises:
        FileNotFoundError: If `path` holds no SavedModel.
        ImportError: If the model searches with ScaNN and scann is not installed.
        ValueError: If `name` cannot stand in a URL or the SavedModel is damaged.

    Example:

    >>> from kerasdml.serving.server import app
    >>> uvicorn.run(app("saved_models/cub200"), port=8501)
    """
    # In this order, as the `{name}` of the last would match "NAME:predict" too.
    kinds = [(":predict", Predict), ("/metadata", Metadata), ("", Status)]
    server = Starlette(
        routes=[
            Route(f"/v1/models/{{name}}{version}{suffix}", endpoint)
            for suffix, endpoint in kinds
            for version in ("", "/versions/{version:int}")
        ],
        exception_handlers={
            ServingError: _on_serving_error,
            HTTPException: _on_http_error,
            Exception: _on_fault,
        },
    )
    server.state.model = ServedModel(latest(path, name))
    server.state.max_body = max_body
    return server


class Status(HTTPEndpoint):
    def get(self, request):
        return _json(rest.status(_find(request)))


class Metadata(HTTPEndpoint):
    def get(self, request):
        return _json(rest.metadata(_find(request)))


class Predict(HTTPEndpoint):
    async def post(self, request):
        model = _find(request)
        body = await _read(request)
        return await run_in_threadpool(lambda: _json(rest.predict(model, body)))


def _find(request):
    """The model and version that the URL names."""
    model = request.app.state.model
    name, version = request.path_params["name"], request.path_params.get("version")
    if name != model.name:
        raise ServingError(
            404, f"Unknown model {name!r}. This server has {model.name!r}."
        )
    if version not in (None, model.version):
        raise ServingError(
            404, f"Unknown version {version} of model {name!r}. It has {model.version}."
        )
    return model


async def _read(request):
    """The body. One that is too large is read to its end, but not kept: a client that
    is cut off while it sends never sees the answer."""
    body, size, limit = bytearray(), 0, request.app.state.max_body
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limit:
                body += chunk
    except ClientDisconnect as error:
        raise ServingError(400, "The client hung up within the body.") from error
    if size > limit:
        raise ServingError(
            413,
            f"A request must have at most {limit} bytes. Received: {size} bytes. "
            "Send fewer examples at a time.",
        )
    return bytes(body)


def _json(value, status=200, headers=None):
    content = rest.dumps(value)
    return Response(content, status, headers, media_type="application/json")


def _on_serving_error(request, error):
    return _json({"error": error.message}, error.status)


def _on_http_error(request, error):
    url = f"{request.method} {request.url.path}"
    if error.status_code == 405:
        message = f"{url} is not allowed. Allowed: {error.headers['Allow']}."
    else:
        message = (
            f"{url}: {error.detail}. This server answers /v1/models/NAME, "
            "/v1/models/NAME/metadata and /v1/models/NAME:predict."
        )
    return _json({"error": message}, error.status_code, error.headers)


def _on_fault(request, error):
    return _json({"error": f"The server failed: {type(error).__name__}."}, 500)
