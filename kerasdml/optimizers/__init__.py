"""Optimizers: what is done to gradients before others apply them."""

from kerasdml.optimizers.proximal import Proximal

__all__ = ["Proximal"]
