"""Keras callbacks: what to measure and to look at while an embedder trains."""

from kerasdml.callbacks.alternating_projection import AlternatingProjection
from kerasdml.callbacks.hard_classes import HardClasses
from kerasdml.callbacks.intra_class_statistics import IntraClassStatistics
from kerasdml.callbacks.neighbours import Neighbours
from kerasdml.callbacks.projector import Projector
from kerasdml.callbacks.pseudo_labels import PseudoLabels
from kerasdml.callbacks.retrieval import Retrieval
from kerasdml.callbacks.self_paced import SelfPaced
from kerasdml.callbacks.subclass_mitosis import SubclassMitosis
from kerasdml.pictures.neighbours import draw_neighbours

__all__ = [
    "AlternatingProjection",
    "HardClasses",
    "IntraClassStatistics",
    "Neighbours",
    "Projector",
    "PseudoLabels",
    "Retrieval",
    "SelfPaced",
    "SubclassMitosis",
    "draw_neighbours",
]
