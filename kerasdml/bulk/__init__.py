"""Embedding collections that outgrow one file, or one machine."""

from kerasdml.bulk.embed import Embedded, embed

__all__ = ["Embedded", "embed"]
