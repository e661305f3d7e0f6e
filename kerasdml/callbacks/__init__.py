"""Keras callbacks: what to measure and to look at while an embedder trains."""

from kerasdml.callbacks.hard_classes import HardClasses
from kerasdml.callbacks.neighbours import Neighbours
from kerasdml.callbacks.projector import Projector
from kerasdml.callbacks.pseudo_labels import PseudoLabels
from kerasdml.callbacks.retrieval import Retrieval
from kerasdml.pictures.neighbours import draw_neighbours

__all__ = [
    "HardClasses",
    "Neighbours",
    "Projector",
    "PseudoLabels",
    "Retrieval",
    "draw_neighbours",
]
