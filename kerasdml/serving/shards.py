"""One search over several servers, each with a part of the index."""

import time
from collections.abc import Sequence
from concurrent import futures
from typing import NamedTuple

from kerasdml.serving.client import Client, Neighbour
from kerasdml.serving.errors import ServingError

# Searches that a part may answer at a time. Threads of a part are its own, so one that
# hangs does not keep the others from answering.
_THREADS = 16


class Found(NamedTuple):
    """What a search over several servers found.

    Args:
        neighbours: For each query its neighbours, nearest first.
        missing: URL to error of each server that did not answer in time.
    """

    neighbours: list[list[Neighbour]]
    missing: dict[str, Exception]

    @property
    def partial(self) -> bool:
        """Whether a server's part of the index was not searched."""
        return bool(self.missing)


class ShardedClient:
    """Searches the parts of an index on several servers and merges what they find.

    The result is that of one index of all parts one after the other, equal scores in
    that order, where every part is searched exactly and answers in time. A part that is
    away, refuses or is too slow is left out, and the result says so.

    Args:
        shards: A `Client` for each part, in their order.
        embedder: A `Client` that embeds the images once for all parts, which are then
            asked by `search_embeddings`; default: each part embeds them itself.
        timeout: How long a search may take, in seconds, > 0; the parts have what the
            embedder leaves of it.

    Raises:
        ValueError: If there is no part, or `timeout` is not positive.

    Example:

    >>> urls = ["grpc://10.0.0.1:8500", "grpc://10.0.0.2:8500"]
    >>> shards = [kerasdml.serving.Client(url, "birds") for url in urls]
    >>> found = kerasdml.serving.ShardedClient(shards).search(["bird.jpg"], k=5)
    >>> found.neighbours[0], found.partial
    """

    def __init__(
        self,
        shards: Sequence[Client],
        embedder: Client | None = None,
        timeout: float = 10.0,
    ):
        if not shards or timeout <= 0:
            raise ValueError(
                "`shards` must hold at least one client and `timeout` be positive. "
                f"Received: {len(shards)} clients, timeout={timeout}."
            )
        self._shards = list(shards)
        self._embedder = embedder
        self._timeout = timeout
        self._pools = [futures.ThreadPoolExecutor(_THREADS) for _ in self._shards]
        self._embedding = futures.ThreadPoolExecutor(_THREADS)

    def search(self, images, k: int | None = None) -> Found:
        """Finds the nearest items of all parts.

        Args:
            images: As for `Client.embed`.
            k: How many neighbours to give, from 1 to the least number that a part was
                exported with, which sends no more than them; default: as many as the
                parts give.

        Raises:
            ValueError: If an image is none or `k` is out of range.
            ServingError, ConnectionError, TimeoutError: If no part answers, that of the
                first; or if the embedder does not.
        """
        end = time.monotonic() + self._timeout
        if self._embedder is not None:
            embeddings = self._embedded(images, end)
            return self._search("search_embeddings", embeddings, k, end)
        return self._search("search", images, k, end)

    def search_embeddings(self, embeddings, k: int | None = None) -> Found:
        """As `search`, for embeddings `(b, d)`."""
        end = time.monotonic() + self._timeout
        return self._search("search_embeddings", embeddings, k, end)

    def close(self):
        """Closes the clients, without waiting for what is under way."""
        for pool in (*self._pools, self._embedding):
            pool.shutdown(wait=False, cancel_futures=True)
        for shard in self._shards:
            shard.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _embedded(self, images, end):
        asked = self._embedding.submit(self._embedder.embed, images)
        futures.wait([asked], max(end - time.monotonic(), 0))
        if not asked.done():
            asked.cancel()
            raise TimeoutError(
                f"{self._embedder.url} did not embed the images within "
                f"{self._timeout:.3g} seconds."
            )
        return asked.result()

    def _search(self, method, queries, k, end):
        asked = [
            pool.submit(getattr(shard, method), queries, k)
            for pool, shard in zip(self._pools, self._shards, strict=True)
        ]
        futures.wait(asked, max(end - time.monotonic(), 0))
        parts, missing = [], {}
        for shard, future in zip(self._shards, asked, strict=True):
            try:
                parts.append(future.result(timeout=0))
            except (ServingError, OSError) as error:
                future.cancel()
                missing[shard.url] = error
        if not parts:
            raise next(iter(missing.values()))
        return Found(_merged(parts, k), missing)


def _merged(parts, k):
    """The nearest of all parts for each query; equal scores in the parts' order."""
    k = min(len(part[0]) for part in parts) if k is None else k
    return [
        sorted(
            (neighbour for neighbours in found for neighbour in neighbours),
            key=lambda neighbour: -neighbour.score,
        )[:k]
        for found in zip(*parts, strict=True)
    ]
