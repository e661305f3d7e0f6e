"""What references are."""

from typing import Any, NamedTuple


class References(NamedTuple):
    """Embeddings to compare with.

    A *reference source* is a layer called as `source(batch, training=…)` with the
    `References` of the batch; it returns those to append. One with a state writes it
    only when `training`.

    Attributes:
        embeddings: `(r, d)`, as they came from the embedder.
        labels: `(r,)` class ids; -1 marks an empty slot, which forms no pairs.
        copy_of: `(r,)` the row of the batch that a reference is the same example as,
            or -1.
    """

    embeddings: Any
    labels: Any
    copy_of: Any
