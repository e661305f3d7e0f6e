"""References: what the anchors of a batch are compared with, beside the batch."""

from kerasdml.references.base import References, Source

__all__ = ["References", "Source"]
