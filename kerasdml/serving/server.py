"""The local server: TF Serving's REST API over one model, as an ASGI app."""

import asyncio
import contextlib
import re
import time

try:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.convertors import StringConvertor, register_url_convertor
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import ClientDisconnect
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise ImportError(
        "The local server needs starlette and uvicorn: pip install kerasdml[serve]. "
        "`serving.Client` needs nothing."
    ) from error

from kerasdml.serving import rest
from kerasdml.serving.errors import ServingError
from kerasdml.serving.options import Options
from kerasdml.serving.service import Service
from kerasdml.serving.telemetry import CONTENT_TYPE

# Ours, and where TF Serving has its own.
METRICS = ("/metrics", "/monitoring/prometheus/metrics")

# Bytes of requests and answers whose JSON takes some milliseconds: not worth a thread.
_SMALL = 2**16


class _Word(StringConvertor):
    """A part of a URL that ends before ":predict"."""

    regex = "[^/:]+"


register_url_convertor("word", _Word())


def app(path, name: str | None = None, **options) -> Starlette:
    """An ASGI app that answers for the versions of a SavedModel.

    `GET /v1/models/NAME`, `GET /v1/models/NAME/metadata` and
    `POST /v1/models/NAME:predict`, each also with `/versions/V` or `/labels/L` after
    the name, take and give what TF Serving takes and gives. Errors are
    `{"error": "<message>"}` with status 400 (the request does not fit), 401 (no token),
    404 (no such model, version or URL), 405 (method), 408 (the body was too slow), 413
    (larger than `max_body`), 429 (too busy), 500 (the model or server is at fault) or
    504 (no answer in time).

    `GET /healthz` is 200 while a version is served, `GET /metrics` (also at TF
    Serving's `/monitoring/prometheus/metrics`) is for Prometheus.

    Args:
        path: Directory of the versions, `<path>/<version>/saved_model.pb`, or one
            version.
        name: Name of the model in URLs; default: that of the directory of the versions.
        **options: See `Options`.

    Raises:
        FileNotFoundError: If `path` holds no SavedModel.
        ImportError: If the model searches with ScaNN and scann is not installed.
        ValueError: If `name` cannot stand in a URL, an option is out of its range or
            the SavedModel is damaged.

    Example:

    >>> from kerasdml.serving.server import app
    >>> uvicorn.run(app("saved_models/cub200"), port=8501)
    """
    return app_of(Service(path, name, Options(**options)))


def app_of(service: Service, on_stop=lambda: None) -> Starlette:
    """The app of a `Service`, which it closes, after `on_stop`, when it ends."""

    @contextlib.asynccontextmanager
    async def lifespan(_):
        yield
        await run_in_threadpool(on_stop)
        await run_in_threadpool(service.close)

    kinds = [
        (":predict", predict, "POST"),
        ("/metadata", metadata, "GET"),
        ("", status, "GET"),
    ]
    choices = ("", "/versions/{version:word}", "/labels/{label:word}")
    server = Starlette(
        routes=[
            Route("/healthz", healthz),
            *(Route(path, metrics) for path in METRICS),
            *(
                Route(
                    f"/v1/models/{{name:word}}{choice}{suffix}",
                    endpoint,
                    methods=[verb],
                )
                for suffix, endpoint, verb in kinds
                for choice in choices
            ),
        ],
        middleware=[Middleware(_Watched, service=service)],
        exception_handlers={
            ServingError: _on_serving_error,
            HTTPException: _on_http_error,
            Exception: _on_fault,
        },
        lifespan=lifespan,
    )
    # It would send who adds a slash to wherever the request's own Host header says.
    server.router.redirect_slashes = False
    server.state.service = service
    return server


async def healthz(request):
    versions = _service(request).versions
    return JSONResponse({"versions": versions}, 200 if versions else 503)


async def metrics(request):
    service = _service(request)
    content = service.telemetry.text(service.versions)
    return Response(content, headers={"Content-Type": CONTENT_TYPE})


async def status(request):
    return _json(rest.status(_service(request).states(**_which(request))))


async def metadata(request):
    with _service(request).model(**_which(request)) as batcher:
        return _json(rest.metadata(batcher.model))


async def predict(request):
    service = _service(request)
    with service.slot(), service.model(**_which(request)) as batcher:
        body = await _read(request, service.options)
        form, future = await _apart(len(body) > _SMALL, _submit, batcher, body)
        del body
        try:
            async with asyncio.timeout(service.options.timeout):
                outputs = await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise service.too_late() from error
        size = sum(array.nbytes for array in outputs.values())
        return await _apart(size > _SMALL, lambda: _json(rest.answer(form, outputs)))


def _submit(batcher, body):
    form, signature, inputs = rest.read(batcher.model, body)
    return form, batcher.submit(signature, inputs)


async def _apart(apart, function, *args):
    """Calls what would keep all others waiting in a thread apart, the rest at once."""
    return await run_in_threadpool(function, *args) if apart else function(*args)


class _Watched:
    """Around every request: its token and its place in the counters."""

    def __init__(self, app, service):
        self._app = app
        self._service = service

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), "500"

        async def watched(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            if error := self._refusal(scope):
                await error(scope, receive, watched)
            else:
                await self._app(scope, receive, watched)
        finally:
            # Routing leaves its choice in the scope.
            method = getattr(scope.get("endpoint"), "__name__", "none")
            seconds = time.perf_counter() - start
            self._service.telemetry.request("rest", method, status, seconds)

    def _refusal(self, scope):
        if scope["path"] == "/healthz":
            return None
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        try:
            self._service.check_token(given)
        except ServingError as error:
            return _on_serving_error(None, error)


def _service(request):
    return request.app.state.service


def _which(request):
    """The model and the version or label that the URL names."""
    which = dict(request.path_params)
    if "version" in which:
        # An int64, as TF Serving has it, and not one of a million digits.
        if not re.fullmatch("[0-9]{1,19}", which["version"]):
            raise HTTPException(404)
        which["version"] = int(which["version"])
    return which


async def _read(request, options):
    """The body. One that is too large is read to its end, but not kept: a client that
    is cut off while it sends never sees the answer."""
    body, size, limit = bytearray(), 0, options.max_body
    try:
        async with asyncio.timeout(options.timeout):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limit:
                    body += chunk
    except ClientDisconnect as error:
        raise ServingError(400, "The client hung up within the body.") from error
    except TimeoutError as error:
        raise ServingError(
            408, f"The body did not come within {options.timeout} seconds."
        ) from error
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
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}
    return _json({"error": error.message}, error.status, headers.get(error.status))


def _on_http_error(request, error):
    url = f"{request.method} {request.url.path}"
    if error.status_code == 405:
        allowed = ", ".join(sorted(error.headers["Allow"].split(", ")))
        message = f"{url} is not allowed. Allowed: {allowed}."
    else:
        message = (
            f"{url}: {error.detail}. This server answers /v1/models/NAME, "
            "/v1/models/NAME/metadata and /v1/models/NAME:predict."
        )
    return _json({"error": message}, error.status_code, error.headers)


def _on_fault(request, error):
    return _json({"error": f"The server failed: {type(error).__name__}."}, 500)
