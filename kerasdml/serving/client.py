"""A client for the local server and for TF Serving, without TensorFlow."""

import functools
import json
import time
import urllib.parse
from typing import NamedTuple

import numpy as np

from kerasdml.serving.encoding import encode_images
from kerasdml.serving.errors import ServingError
from kerasdml.serving.over_rest import Rest
from kerasdml.serving.retries import retrying


class Neighbour(NamedTuple):
    """One item that a search found.

    Args:
        id: Of the item in the index, as it was given when the index was built.
        label: Of the item, None if the index has no labels.
        score: Similarity to the query; larger is closer.
        metadata: Of the item, what was stored with it; None if the model was exported
            without `return_metadata`.
    """

    id: int | str
    label: int | str | None
    score: float
    metadata: object = None


class Client:
    """Talks to one model of a local server or of TF Serving, over REST or gRPC.

    Connections are kept and go straight to the server: proxies of the environment are
    not used. A client may be shared by threads. What fails because the server was away
    or too busy is tried again after a pause; calls change nothing on the server, so
    that is safe. Every method raises `ServingError` if the server refuses the request,
    `ConnectionError` if it cannot be reached and `TimeoutError` if it is too slow.

    Args:
        url: Where the server is: "http://127.0.0.1:8501" or "https://…" for REST,
            "grpc://127.0.0.1:8500" or, with TLS, "grpcs://…" for gRPC, which needs
            grpcio and is faster for large batches.
        model: Name of the model on that server.
        timeout: How long a call may take, its retries included, in seconds, > 0.
        version: Number of the version to ask; default: the newest.
        label: Label of the version to ask, in the place of its number.
        retries: How often to try again, >= 0, with pauses of up to 0.1, 0.2, 0.4 …
            seconds, drawn at random.
        token: Secret that the server asks for, or None. Give it over TLS alone, or on
            this machine.
        ca: PEM file of the authorities to trust for TLS; default: the system's.

    Raises:
        ImportError: If grpcio is missing for a gRPC address.
        ValueError: If `url` is not an address, `model` is empty, a number is out of its
            range, or both `version` and `label` are given.

    Example:

    >>> client = kerasdml.serving.Client("http://127.0.0.1:8501", "cub200")
    >>> client.search(["bird.jpg"], k=3)[0]
    [Neighbour(id='0417.jpg', label='Bobolink', score=0.93), ...]
    """

    def __init__(
        self,
        url: str,
        model: str,
        timeout: float = 60.0,
        *,
        version: int | None = None,
        label: str | None = None,
        retries: int = 2,
        token: str | None = None,
        ca=None,
    ):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https", "grpc", "grpcs") or not parts.hostname:
            raise ValueError(
                "`url` must be an address such as 'http://127.0.0.1:8501' or "
                f"'grpc://127.0.0.1:8500'. Received: url={url!r}."
            )
        if not model or timeout <= 0 or retries < 0:
            raise ValueError(
                "`model` must be a name, `timeout` positive and `retries` at least 0. "
                f"Received: model={model!r}, timeout={timeout}, retries={retries}."
            )
        if version is not None and label is not None:
            raise ValueError(
                "Either `version` or `label` says which version to ask. "
                f"Received: version={version}, label={label!r}."
            )
        self.url = url.rstrip("/")
        self.model = model
        self.timeout = timeout
        self._retries = retries
        transport = Rest if parts.scheme.startswith("http") else _grpc()
        self._transport = transport(parts, model, version, label, token, ca)
        self._known = None  # What `metadata` answered last.

    def close(self):
        """Closes the connections that are kept."""
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def status(self) -> dict:
        """State of the served versions, as TF Serving gives it."""
        return self._retrying(self._transport.status)

    def metadata(self) -> dict:
        """Signatures of the model, as TF Serving gives them."""
        return self._retrying(self._transport.metadata)

    def predict(
        self, instances=None, *, inputs=None, signature_name: str | None = None
    ):
        """Calls any signature.

        Args:
            instances: One value for each example, or one dict of input name to value
                where the signature has several inputs. Values may be numbers, strings,
                `bytes`, lists or arrays.
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
        form = "instances" if inputs is None else "inputs"
        values = instances if inputs is None else inputs
        return self._retrying(
            functools.partial(self._transport.predict, form, values, signature_name)
        )

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
        encoded = encode_images(images)
        embeddings = self._outputs("embed_encoded", {"image_bytes": encoded})
        return np.array(embeddings, dtype=np.float32)

    def search(self, images, k: int | None = None) -> list[list[Neighbour]]:
        """Finds the nearest items of the index that was exported with the model.

        The server sends no more than `k`, if the model has the signature `search_k`, as
        those of `export.saved_model` have. The client knows by the model's metadata,
        which it asks for once, and again where a version has come that differs. Of
        other models it gives the first `k` that `search` finds.

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
        return _neighbours(self._found("search", k, image_bytes=encode_images(images)))

    def search_embeddings(self, embeddings, k: int | None = None):
        """As `search`, for embeddings that `embed` gave.

        Args:
            embeddings: `(b, d)` numbers.
            k: As for `search`.

        Returns:
            For each embedding its neighbours, nearest first.

        Raises:
            ValueError: If `k` is out of range, or `embeddings` is not `(b, d)`.
        """
        embeddings = np.asarray(embeddings, np.float32)
        if embeddings.ndim != 2 or not embeddings.size:
            raise ValueError(
                f"`embeddings` must be (b, d). Received: {embeddings.shape}."
            )
        return _neighbours(self._found("search_embeddings", k, embeddings=embeddings))

    def match(
        self, images, at: str | float = "best_f1", k: int | None = None
    ) -> list[list[Neighbour]]:
        """Finds the items that are similar enough to be of the same class.

        They are the first of those that `search` finds, and so at most `k`.

        Args:
            images: As for `embed`.
            at: Which cut-point of the calibration that was exported with the model:
                "best_f1", "best_accuracy", "equal_error", or a false-match rate.
            k: As for `search`.

        Returns:
            For each image the neighbours that match, nearest first; none if nothing in
            the index does.

        Raises:
            ValueError: If `k` is out of range, there is no image, or one is not an
                image; it is named.

        Example:

        >>> (found,) = client.match(["bird.jpg"], at=1e-3)
        >>> found[0].label if found else "unknown"
        """
        encoded = encode_images(images)
        cut_point = at if isinstance(at, str) else str(float(at))
        found = self._found(
            "match", k, image_bytes=encoded, cut_point=[cut_point] * len(encoded)
        )
        return [
            neighbours[: sum(matches)]
            for neighbours, matches in zip(
                _neighbours(found), found["matches"], strict=True
            )
        ]

    def _found(self, name, k, **inputs):
        """The outputs of a signature that searches, `k` columns of each."""
        if k is None:
            return self._outputs(name, inputs)
        end = time.monotonic() + self.timeout
        try:
            return self._found_first(name, k, inputs, end)
        except (ServingError, ValueError) as error:
            if isinstance(error, ServingError) and error.status not in (400, 404):
                raise
            # Unless another version has come, of which that is not true.
            known, self._known = self._known, self._metadata(end)
            if self._known == known:
                raise
            return self._found_first(name, k, inputs, end)

    def _found_first(self, name, k, inputs, end):
        self._known = known = self._known or self._metadata(end)
        signatures = known["metadata"]["signature_def"]["signature_def"]
        if f"{name}_k" in signatures:
            self._check_k(k, _columns(signatures[name]))
            rows = len(next(iter(inputs.values())))
            found = self._outputs(f"{name}_k", {**inputs, "k": [k] * rows}, end)
        else:
            found = self._outputs(name, inputs, end)
            self._check_k(k, len(found["scores"][0]))
        # Longer where the server shared a call with a search for more.
        return {output: [row[:k] for row in rows] for output, rows in found.items()}

    def _check_k(self, k, exported):
        if not 1 <= k <= exported:
            raise ValueError(
                f"`k` must be from 1 to {exported}, the number of neighbours that "
                f"model {self.model!r} was exported with. Received: k={k}."
            )

    def _metadata(self, end):
        return self._retrying(self._transport.metadata, end)

    def _outputs(self, signature_name, inputs, end=None):
        return self._retrying(
            functools.partial(self._transport.outputs, signature_name, inputs), end
        )

    def _retrying(self, call, end=None):
        left = self.timeout if end is None else end - time.monotonic()
        return retrying(call, left, self._retries)


def _grpc():
    # Here, so that REST does without grpcio and protobuf.
    from kerasdml.serving.over_grpc import Grpc

    return Grpc


def _columns(signature):
    """How many neighbours a signature gives, by the JSON of its metadata."""
    return int(signature["outputs"]["scores"]["tensor_shape"]["dim"][1]["size"])


def _neighbours(found):
    """The outputs of a search as a list of neighbours for each query."""
    # Lists from REST, arrays from gRPC, to the same numbers and texts.
    found = {name: np.asarray(rows).tolist() for name, rows in found.items()}
    ids, scores = found["ids"], found["scores"]
    nothing = [[None] * len(row) for row in ids]
    labels = found.get("labels", nothing)
    metadata = nothing
    if "metadata" in found:
        metadata = [[json.loads(text) for text in row] for row in found["metadata"]]
    rows = zip(ids, labels, scores, metadata, strict=True)
    return [[Neighbour(*item) for item in zip(*row, strict=True)] for row in rows]
