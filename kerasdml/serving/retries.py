"""Calling again what failed for a reason that may pass."""

import random
import time

from kerasdml.serving.errors import ServingError

# Pauses are drawn from 0 to BASE, 2 BASE, 4 BASE … seconds, so that many clients which
# failed together do not come back together.
BASE = 0.1
LONGEST = 2.0

# Too busy, a gateway without its server, a server that is not ready.
_PASSING = frozenset({429, 502, 503})


def retrying(call, timeout: float, retries: int):
    """Returns `call(seconds)`, tried again where the server was away or too busy.

    Only for calls that may be made twice, as all of TF Serving's here may.

    Args:
        call: Takes the seconds that are left.
        timeout: For all tries and the pauses between them, in seconds.
        retries: Tries after the first.
    """
    end = time.monotonic() + timeout
    for attempt in range(retries + 1):
        try:
            return call(max(end - time.monotonic(), 1e-3))
        except (ConnectionError, ServingError) as error:
            pause = random.uniform(0, min(LONGEST, BASE * 2**attempt))
            late = time.monotonic() + pause >= end
            if attempt == retries or late or not _passes(error):
                raise
        time.sleep(pause)
    raise AssertionError("unreachable")


def _passes(error):
    return isinstance(error, ConnectionError) or error.status in _PASSING
