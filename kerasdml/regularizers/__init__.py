"""Regularizers of proxies: penalties that losses with proxies take as `regularizer=`.

They are Keras regularizers of a weight `(num_classes, dim)`. For the sizes of the
proxies alone, use `keras.regularizers.L2` or `L1`.
"""

from kerasdml.regularizers.center_invariant import CenterInvariant
from kerasdml.regularizers.regular_face import RegularFace
from kerasdml.regularizers.sparse_centers import SparseCenters

__all__ = ["CenterInvariant", "RegularFace", "SparseCenters"]
