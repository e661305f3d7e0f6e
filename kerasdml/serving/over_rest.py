"""The client's side of TF Serving's REST API, with connections that are kept."""

import base64
import collections
import http.client
import json
import ssl
import time
import urllib.parse

import numpy as np

from kerasdml.serving.errors import ServingError

_CHUNK = 2**16


class Rest:
    """Calls one model over HTTP; may be shared by threads.

    Args:
        url: The parts of the server's URL, of `urllib.parse.urlsplit`.
        model: Name of the model.
        version: Number of the version, or None.
        label: Label of the version, or None.
        token: What requests bear, or None.
        ca: PEM file of the authorities that are trusted, or None for the system's.
    """

    def __init__(self, url, model, version=None, label=None, token=None, ca=None):
        self._url = url.geturl().rstrip("/")
        self._address = url.hostname, url.port
        self._tls = (
            ssl.create_default_context(cafile=ca) if url.scheme == "https" else None
        )
        self._path = f"{url.path.rstrip('/')}/v1/models/{_quoted(model)}"
        if version is not None:
            self._path += f"/versions/{version}"
        elif label is not None:
            self._path += f"/labels/{_quoted(label)}"
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._idle = collections.deque()  # Its ends are safe to use by threads.

    def status(self, seconds):
        return self._call("GET", "", None, None, seconds)

    def metadata(self, seconds):
        return self._call("GET", "/metadata", None, None, seconds)

    def predict(self, form, values, signature_name, seconds):
        """The answer to `values` in a form, "instances" or "inputs", as JSON has it."""
        request = {form: values}
        if signature_name is not None:
            request["signature_name"] = signature_name
        key = {"instances": "predictions", "inputs": "outputs"}[form]
        return self._call("POST", ":predict", request, key, seconds)

    def outputs(self, signature_name, inputs, seconds):
        """The batch of the only output, or output name to batch, as lists."""
        return self.predict("inputs", inputs, signature_name, seconds)

    def close(self):
        while self._idle:
            self._idle.pop().close()

    def _call(self, method, suffix, request, key, seconds):
        body = request and json.dumps(request, default=jsonable).encode()
        status, content = self._exchange(method, self._path + suffix, body, seconds)
        try:
            answer = json.loads(content)
            if status != 200:
                raise ServingError(status, answer["error"])
            return answer if key is None else answer[key]
        except (ValueError, KeyError, TypeError) as error:
            raise ServingError(
                status,
                f"{self._url} must answer as TF Serving does. "
                f"Received: {content[:200]!r}.",
            ) from error

    def _exchange(self, method, path, body, seconds):
        end = time.monotonic() + seconds
        try:
            try:
                kept = self._idle.pop()
            except IndexError:
                return self._send(self._new(), method, path, body, end)
            try:
                return self._send(kept, method, path, body, end)
            except ConnectionError:
                # The server closed it while it was idle.
                return self._send(self._new(), method, path, body, end)
        except TimeoutError as error:
            raise TimeoutError(
                f"{self._url} did not answer within {seconds:.3g} seconds. "
                "Send fewer images at a time, or raise `timeout`."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(
                f"{self._url} cannot be reached: {error}. "
                "`kerasdml serve PATH` starts a server."
            ) from error

    def _new(self):
        if self._tls is None:
            return http.client.HTTPConnection(*self._address)
        return http.client.HTTPSConnection(*self._address, context=self._tls)

    def _send(self, connection, method, path, body, end):
        try:
            if connection.sock is None:
                connection.timeout = _left(end)
                connection.connect()
            socket = connection.sock
            socket.settimeout(_left(end))
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            chunks = []
            # One timeout for all of it, not for each packet.
            while chunk := response.read1(_CHUNK):
                chunks.append(chunk)
                socket.settimeout(_left(end))
            if response.length:  # What `read1` passes over: the server died.
                raise http.client.IncompleteRead(b"", response.length)
            response.close()  # `read1` leaves it open, and the connection in use.
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return response.status, b"".join(chunks)


def jsonable(value):
    """What JSON takes in the place of bytes and arrays."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(
        "A request holds numbers, strings, bytes, lists, dicts and arrays. "
        f"Received: {type(value).__name__}."
    )


def _quoted(name):
    return urllib.parse.quote(name, "")


def _left(end):
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
