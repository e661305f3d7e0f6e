"""References: what the anchors of a batch are compared with, beside the batch."""

from kerasdml.references.base import References

__all__ = ["References"]
