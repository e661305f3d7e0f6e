"""From an embedder, and an index, to what servers and devices load."""

from kerasdml.export.conversion import Converted, lite_rt, onnx, predict
from kerasdml.export.servable import saved_model

__all__ = ["Converted", "lite_rt", "onnx", "predict", "saved_model"]
