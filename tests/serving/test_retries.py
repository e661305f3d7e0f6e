"""Calling again, with a clock that nobody waits for."""

import time

import pytest

from kerasdml.serving import ServingError, retries


@pytest.fixture
def pauses(monkeypatch):
    """The longest pauses that could have been drawn; all are."""
    made = []
    monkeypatch.setattr(retries.random, "uniform", lambda low, high: high)
    monkeypatch.setattr(retries.time, "sleep", made.append)
    return made


def failing(*errors):
    """A call that raises each of `errors` in turn, then gives the seconds it had."""
    errors = list(errors)

    def call(seconds):
        if errors:
            raise errors.pop(0)
        return seconds

    return call


@pytest.mark.parametrize(
    "error", [ConnectionError(), *(ServingError(s, "") for s in (429, 502, 503))]
)
def test_tries_again_what_may_pass(pauses, error):
    assert retries.retrying(failing(error, error), timeout=60, retries=2) <= 60
    assert pauses == [0.1, 0.2]


@pytest.mark.parametrize(
    "error", [TimeoutError(), *(ServingError(s, "") for s in (400, 404, 413, 500, 504))]
)
def test_does_not_try_again_what_stays(pauses, error):
    with pytest.raises(type(error)):
        retries.retrying(failing(error), timeout=60, retries=5)
    assert pauses == []


def test_gives_up_in_the_end(pauses):
    errors = [ConnectionError(str(i)) for i in range(9)]
    with pytest.raises(ConnectionError, match="6"):
        retries.retrying(failing(*errors), timeout=60, retries=6)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


def test_does_not_pause_past_the_deadline(monkeypatch, pauses):
    now = time.monotonic()
    monkeypatch.setattr(retries.time, "monotonic", lambda: now)
    with pytest.raises(ConnectionError):
        retries.retrying(failing(*[ConnectionError()] * 9), timeout=0.15, retries=9)
    assert pauses == [0.1]  # The second would be 0.2 long.
