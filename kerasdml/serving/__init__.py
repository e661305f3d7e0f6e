"""Serving: a local server with TF Serving's REST and gRPC APIs, and a client for both.

Names are resolved on first use, so that `Client` loads neither TensorFlow nor Keras.
"""

import importlib

_HOMES = {
    "Client": "client",
    "Found": "shards",
    "Neighbour": "client",
    "Options": "options",
    "ServingError": "errors",
    "ShardedClient": "shards",
    "serve": "runner",
    "start": "runner",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        home = importlib.import_module(f"kerasdml.serving.{_HOMES[name]}")
        return getattr(home, name)
    raise AttributeError(f"module 'kerasdml.serving' has no attribute {name!r}")


def __dir__():
    return __all__
