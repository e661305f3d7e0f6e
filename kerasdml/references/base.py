"""What references are, and what adds them."""

import abc
from typing import Any, NamedTuple

from keras import ops

from kerasdml.layers import StatefulLayer
from kerasdml.ops import similarities


class References(NamedTuple):
    """Embeddings to compare with.

    Attributes:
        embeddings: `(r, d)`, as they came from the embedder.
        labels: `(r,)` class ids, or `(r, l)` tags, as those of the batch are. -1, or a
            row of -1, marks an empty slot, which forms no pairs.
        copy_of: `(r,)` the row of the batch that a reference is, or was made from, or
            -1; or `ops.NEVER_POSITIVE`.
    """

    embeddings: Any
    labels: Any
    copy_of: Any

    def similarities(self, anchors, similarity):
        """Returns `(q, r)` similarities to `anchors (q, d)`."""
        return similarities(anchors, self.embeddings, similarity)


class Stacked(References):
    """References of several sources, one after the other.

    Args:
        parts: List of `References`.
    """

    def __new__(cls, parts):
        stacked = super().__new__(cls, *map(ops.concatenate, zip(*parts, strict=True)))
        stacked.parts = parts
        return stacked

    def similarities(self, anchors, similarity):
        """Compares the parts one by one: no gradient is made for a constant one."""
        each = [part.similarities(anchors, similarity) for part in self.parts]
        return ops.concatenate(each, axis=1)


class Source(StatefulLayer, abc.ABC):
    """A reference source: a layer that adds columns to the batch of a pair loss.

    The loss calls it as `source(batch, training=…)` with the `References` of the batch,
    whose `copy_of` is 0 … q - 1, and appends what it returns. A source sees the batch
    alone, never what another source made of it. It is called once a step, also when
    several losses of a `Sum` share it, so that what it remembers is written once. It
    writes only when `training`; the loss that lists it builds it, by `build(dim)`.

    A source may return no rows at all: the loss is then the plain one, bit for bit.

    Two attributes, of the class or of the object (so that either can be an argument of
    `__init__`), say what becomes of its rows:

    Attributes:
        anchors: Whether its rows are anchors too. They must be whole copies of the
            batch, in its order, one copy after the other; the costs of a row and of its
            copies are averaged, so that a loss has one cost a row of the batch.
        exclude_own_copies: Whether a row, and a copy of it, forms no pairs with the
            copies of it, by `copy_of`. If not, they are pairs like any others of one
            class, and nothing is excluded but an anchor with itself.
    """

    anchors = False
    exclude_own_copies = True

    def check_labels(self, labels):
        """Raises a `ValueError` if concrete `labels` cannot be those of this source."""

    def check_batch_size(self, batch_size):
        """Raises a `ValueError` if it cannot have batches of that size."""

    @abc.abstractmethod
    def call(self, batch, training=None):
        """Returns the `References` to append to those of the batch."""
