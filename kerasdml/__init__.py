"""Deep metric learning for TensorFlow and Keras 3.

Public names are resolved on first use, so that `import kerasdml` and the serving
client load neither Keras nor TensorFlow.
"""

import importlib

from kerasdml.version import __version__

_PACKAGES = (
    "bulk",
    "callbacks",
    "data",
    "deploy",
    "export",
    "index",
    "layers",
    "losses",
    "metrics",
    "miners",
    "models",
    "ops",
    "optimizers",
    "references",
    "regularizers",
    "reports",
    "serving",
    "zoo",
)

__all__ = ["MetricModel", "__version__", *_PACKAGES]


def __getattr__(name):
    if name in _PACKAGES:
        return importlib.import_module(f"kerasdml.{name}")
    if name == "MetricModel":
        return importlib.import_module("kerasdml.models").MetricModel
    raise AttributeError(f"module 'kerasdml' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
