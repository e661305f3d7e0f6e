"""Keras callbacks: what to measure and to look at while an embedder trains."""

from kerasdml.callbacks.neighbours import Neighbours, draw_neighbours
from kerasdml.callbacks.projector import Projector
from kerasdml.callbacks.retrieval import Retrieval

__all__ = ["Neighbours", "Projector", "Retrieval", "draw_neighbours"]
