"""What a miner is."""

import abc

from kerasdml.config import Configured


class Miner(Configured, abc.ABC):
    """Narrows pairs: `miner(similarities, positives, negatives)` → the pairs to keep.

    Everything is `(q, r)`, and so is what comes back: two booleans that select some of
    the positives and some of the negatives. No gradient flows through the choice.
    """

    # Whether it is called with two further arguments, the `References` that the rows
    # and the columns stand for: their embeddings and labels.
    needs_examples = False
    # The layers that hold a miner's state, if it has any; its loss lists them too.
    layers = ()
    # Whether what is kept of a row follows from that row, and from nothing random.
    row_wise = True

    @abc.abstractmethod
    def __call__(self, similarities, positives, negatives):
        """Returns the `positives` and `negatives` to keep."""
