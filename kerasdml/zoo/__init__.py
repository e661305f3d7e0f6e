"""Published embedders: their names, their cards, their weights.

>>> kerasdml.zoo.names("conv4*")
>>> embedder = kerasdml.zoo.load("conv4.multi_similarity_omniglot")
"""

from kerasdml.zoo.cards import Card, Input, card, names
from kerasdml.zoo.download import download
from kerasdml.zoo.load import load

__all__ = ["Card", "Input", "card", "download", "load", "names"]
