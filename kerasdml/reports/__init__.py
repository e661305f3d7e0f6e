"""Pictures and scores of a set of embeddings, on one page."""

from kerasdml.reports.report import write

__all__ = ["write"]
