"""From an embedder, and an index, to what servers and devices load."""

from kerasdml.export.servable import saved_model

__all__ = ["saved_model"]
