"""Several servers as one index, some of which fail; no server here is real."""

import threading
import time

import numpy as np
import pytest

from kerasdml.serving import Neighbour, ServingError, ShardedClient


class Part:
    """A client of an index of a few numbers; the score of item x is -|x - query|."""

    def __init__(self, url, items, k=3):
        self.url, self.items, self.k = url, items, k
        self.error, self.delay = None, threading.Event()
        self.delay.set()

    def search_embeddings(self, queries, k):
        assert self.delay.wait(10)
        if self.error:
            raise self.error
        k = self.k if k is None else k
        if k > self.k:
            raise ValueError(f"`k` must be from 1 to {self.k}")
        return [
            [
                Neighbour(x, None, -abs(x - q))
                for x in sorted(self.items, key=lambda x: abs(x - q))[:k]
            ]
            for q in queries
        ]

    search = search_embeddings

    def embed(self, images):
        return np.array(images) + 100

    def close(self):
        self.closed = True


@pytest.fixture
def parts():
    return [Part("a", [1, 5, 9]), Part("b", [2, 6, 10]), Part("c", [3, 7, 11])]


def ids(found):
    return [[neighbour.id for neighbour in row] for row in found.neighbours]


def test_finds_what_one_index_of_all_parts_would(parts):
    found = ShardedClient(parts).search([5, 11])
    whole = Part("whole", [1, 5, 9, 2, 6, 10, 3, 7, 11]).search([5, 11], None)
    assert found.neighbours == whole
    assert not found.partial and found.missing == {}


def test_equal_scores_come_in_the_order_of_the_parts():
    parts = [Part("a", [4]), Part("b", [6]), Part("c", [4])]
    assert ids(ShardedClient(parts).search_embeddings([5], k=1)) == [[4]]
    assert ids(ShardedClient(parts[1:]).search_embeddings([5], k=1)) == [[6]]


@pytest.mark.parametrize(
    "error", [ConnectionError("away"), ServingError(503, "loading"), TimeoutError()]
)
def test_a_part_that_fails_is_left_out_and_named(parts, error):
    parts[1].error = error
    found = ShardedClient(parts).search([6])
    assert ids(found) == [[5, 7, 9]]
    assert found.partial and found.missing == {"b": error}


def test_a_part_that_is_slow_is_left_out(parts):
    parts[0].delay.clear()
    start = time.monotonic()
    found = ShardedClient(parts, timeout=0.2).search([6], k=2)
    assert time.monotonic() - start < 5
    assert ids(found) == [[6, 7]]
    assert isinstance(found.missing["a"], TimeoutError)
    parts[0].delay.set()


def test_no_part_at_all_is_an_error(parts):
    for part in parts:
        part.error = ConnectionError(part.url)
    with pytest.raises(ConnectionError, match="a"):
        ShardedClient(parts).search([6])


def test_a_mistake_of_the_caller_is_not_a_part_missing(parts):
    with pytest.raises(ValueError, match="`k` must be from 1 to 3"):
        ShardedClient(parts).search([6], k=4)


def test_images_are_embedded_once_where_there_is_an_embedder(parts):
    shards = ShardedClient(parts, embedder=Part("e", []))
    # The embedder makes 6 of -94.
    assert ids(shards.search([-94], k=1)) == [[6]]


def test_an_embedder_that_is_slow_is_an_error(parts):
    slow, release = Part("e", []), threading.Event()
    slow.embed = lambda images: release.wait(10)
    with pytest.raises(TimeoutError, match="e did not embed the images within 0.2 s"):
        ShardedClient(parts, embedder=slow, timeout=0.2).search([6])
    release.set()


def test_close_closes_the_clients(parts):
    with ShardedClient(parts):
        pass
    assert all(part.closed for part in parts)


def test_rejects_no_parts_and_no_time(parts):
    with pytest.raises(ValueError, match="at least one client"):
        ShardedClient([])
    with pytest.raises(ValueError, match="be positive. Received: 3 clients, timeout=0"):
        ShardedClient(parts, timeout=0)
