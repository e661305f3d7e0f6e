"""Metrics of a whole set of embeddings, computed exactly and in chunks."""

from kerasdml.metrics.centroid_accuracy import centroid_accuracy
from kerasdml.metrics.kmeans import kmeans
from kerasdml.metrics.map_at_r import map_at_r
from kerasdml.metrics.precision import precision_at_k
from kerasdml.metrics.r_precision import r_precision
from kerasdml.metrics.recall import recall_at_k
from kerasdml.metrics.retrieval import lone_queries, retrieval

__all__ = [
    "centroid_accuracy",
    "kmeans",
    "lone_queries",
    "map_at_r",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "retrieval",
]
