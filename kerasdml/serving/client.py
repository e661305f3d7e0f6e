"""A client for the local server and for TF Serving, without TensorFlow."""

import base64
import http.client
import json
import urllib.parse
from typing import NamedTuple

import numpy as np

from kerasdml.serving.encoding import encode_images
from kerasdml.serving.errors import ServingError

_CONNECTIONS = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


class Neighbour(NamedTuple):
    """One item that a search found.

    Args:
        id: Of the item in the index, as it was given when the index was built.
        label: Of the item, None if the index has no labels.
        score: Similarity to the query; larger is closer.
    """

    id: int | str
    label: int | str | None
    score: float


class Client:
    """Talks to one model of a local server or of TF Serving over REST.

    Every call opens a connection of its own, so a client may be shared by threads.
    Connections go straight to the server: proxies of the environment are not used.
    Every method raises `ServingError` if the server refuses the request,
    `ConnectionError` if it cannot be reached and `TimeoutError` if it is too slow.

    Args:
        url: Where the server is, as "http://127.0.0.1:8501".
        model: Name of the model on that server.
        timeout: How long a call may wait for the server, in seconds, > 0.

    Raises:
        ValueError: If `url` is not an HTTP address, or `model` or `timeout` is empty.

    Example:

    >>> client = kerasdml.serving.Client("http://127.0.0.1:8501", "cub200")
    >>> client.search(["bird.jpg"], k=3)[0]
    [Neighbour(id='0417.jpg', label='Bobolink', score=0.93), ...]
    """

    def __init__(self, url: str, model: str, timeout: float = 60.0):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in _CONNECTIONS or not parts.hostname:
            raise ValueError(
                "`url` must be an address such as 'http://127.0.0.1:8501'. "
                f"Received: url={url!r}."
            )
        if not model or timeout <= 0:
            raise ValueError(
                "`model` must be a name and `timeout` positive. "
                f"Received: model={model!r}, timeout={timeout}."
            )
        self.url = url.rstrip("/")
        self.model = model
        self.timeout = timeout
        self._connect = _CONNECTIONS[parts.scheme]
        self._address = parts.hostname, parts.port
        self._path = (
            f"{parts.path.rstrip('/')}/v1/models/{urllib.parse.quote(model, '')}"
        )

    def status(self) -> dict:
        """State of the served versions, as TF Serving gives it."""
        return self._call("GET", "")

    def metadata(self) -> dict:
        """Signatures of the model, as TF Serving gives them."""
        return self._call("GET", "/metadata")

    def predict(
        self, instances=None, *, inputs=None, signature_name: str | None = None
    ):
        """Calls any signature.

        Args:
            instances: One value for each example, or one dict of input name to value
                where the signature has several inputs. Values may be numbers, strings,
                `bytes` (sent as base64), lists or arrays.
            inputs: Instead of `instances`: the batch of the only input, or a dict of
                input name to batch.
            signature_name: Signature to call; default: the model's `serving_default`.

        Returns:
            For `instances`, a list with an entry for each example: a value, or a dict
            where the signature has several outputs. For `inputs`, the batch of the only
            output, or a dict of output name to batch.

        Raises:
            ValueError: If not exactly one of `instances` and `inputs` is given.
        """
        if (instances is None) == (inputs is None):
            raise ValueError("`predict` takes either `instances` or `inputs`.")
        if inputs is None:
            request, key = {"instances": instances}, "predictions"
        else:
            request, key = {"inputs": inputs}, "outputs"
        if signature_name is not None:
            request["signature_name"] = signature_name
        return self._call("POST", ":predict", request, key)

    def embed(self, images) -> np.ndarray:
        """Embeds images.

        Args:
            images: `b` images of any size: paths of JPEG or PNG files, `bytes`, or
                uint8 arrays `(h, w)`, `(h, w, 1)` or `(h, w, 3)`, in a list; or one
                uint8 array `(b, h, w, c)`.

        Returns:
            `(b, d)` float32 embeddings.

        Raises:
            ValueError: If there is no image, or one is not an image; it is named.
        """
        inputs = {"image_bytes": encode_images(images)}
        embeddings = self.predict(inputs=inputs, signature_name="embed_encoded")
        return np.array(embeddings, dtype=np.float32)

    def search(self, images, k: int | None = None) -> list[list[Neighbour]]:
        """Finds the nearest items of the index that was exported with the model.

        Args:
            images: As for `embed`.
            k: How many neighbours to give, from 1 to the number the model was exported
                with, which is the default.

        Returns:
            For each image its neighbours, nearest first.

        Raises:
            ValueError: If `k` is out of range, there is no image, or one is not an
                image; it is named.
        """
        inputs = {"image_bytes": encode_images(images)}
        found = self.predict(inputs=inputs, signature_name="search")
        exported = len(found["scores"][0])
        k = exported if k is None else k
        if not 1 <= k <= exported:
            raise ValueError(
                f"`k` must be from 1 to {exported}, the number of neighbours that "
                f"model {self.model!r} was exported with. Received: k={k}."
            )
        return [neighbours[:k] for neighbours in _neighbours(found)]

    def match(self, images, at: str | float = "best_f1") -> list[list[Neighbour]]:
        """Finds the items that are similar enough to be of the same class.

        They are the first of those that `search` finds, and so at most as many as the
        model was exported with.

        Args:
            images: As for `embed`.
            at: Which cut-point of the calibration that was exported with the model:
                "best_f1", "best_accuracy", "equal_error", or a false-match rate.

        Returns:
            For each image the neighbours that match, nearest first; none if nothing in
            the index does.

        Raises:
            ValueError: If there is no image, or one is not an image; it is named.

        Example:

        >>> (found,) = client.match(["bird.jpg"], at=1e-3)
        >>> found[0].label if found else "unknown"
        """
        encoded = encode_images(images)
        cut_point = at if isinstance(at, str) else str(float(at))
        inputs = {"image_bytes": encoded, "cut_point": [cut_point] * len(encoded)}
        found = self.predict(inputs=inputs, signature_name="match")
        return [
            neighbours[: sum(matches)]
            for neighbours, matches in zip(
                _neighbours(found), found["matches"], strict=True
            )
        ]

    def _call(self, method, suffix, request=None, key=None):
        body = request and json.dumps(request, default=_jsonable).encode()
        status, content = self._exchange(method, self._path + suffix, body)
        try:
            answer = json.loads(content)
            if status != 200:
                raise ServingError(status, answer["error"])
            return answer if key is None else answer[key]
        except (ValueError, KeyError, TypeError) as error:
            raise ServingError(
                status,
                f"{self.url} must answer as TF Serving does. "
                f"Received: {content[:200]!r}.",
            ) from error

    def _exchange(self, method, path, body):
        connection = self._connect(*self._address, timeout=self.timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        except TimeoutError as error:
            raise TimeoutError(
                f"{self.url} did not answer within {self.timeout} seconds. "
                "Send fewer images at a time, or raise `timeout`."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(
                f"{self.url} cannot be reached: {error}. "
                "`kerasdml serve PATH` starts a server."
            ) from error
        finally:
            connection.close()


def _neighbours(found):
    """The outputs of a search as a list of neighbours for each query."""
    ids, scores = found["ids"], found["scores"]
    labels = found.get("labels", [[None] * len(row) for row in ids])
    rows = zip(ids, labels, scores, strict=True)
    return [[Neighbour(*item) for item in zip(*row, strict=True)] for row in rows]


def _jsonable(value):
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(
        "A request holds numbers, strings, bytes, lists, dicts and arrays. "
        f"Received: {type(value).__name__}."
    )
