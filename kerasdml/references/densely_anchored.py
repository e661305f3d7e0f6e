"""Densely-anchored sampling."""

import keras
from keras import ops

from kerasdml.layers import ChannelFrequencies, TransformationBank
from kerasdml.layers.proxies import check_num_classes
from kerasdml.ops import check_classes, normalize
from kerasdml.references.base import Source
from kerasdml.references.class_ids import (
    check_class_ids,
    copies_of,
    no_references,
    rows_of_classes,
)
from kerasdml.references.counts import check_count


@keras.saving.register_keras_serializable(package="kerasdml.references")
class DenselyAnchored(Source):
    """Fills the space around each embedding with variations of it, anchors as well.

    In training each copy of an embedding x is `g * x + shift * t`, where g is 1 but in
    the `top_k` channels that were most often among the largest of its class, and drawn
    from `scale` there (discriminative feature scaling); and t is one of the last
    `bank_size` differences between two embeddings of its class (memorised
    transformation shifting), or 0 before there are any. The class stays. The batch is
    recorded first, then varied.

    Copies are pairs with one another and with what they copy, as those of one class
    are, and their costs are averaged with those of the rows they copy. In evaluation,
    and with 0 copies, the loss is the plain one.

    Args:
        num_classes: Number of classes, at least 2; labels are 0 … num_classes - 1, and
            -1 for none.
        copies: Copies of each embedding, at least 0. Paper: 3.
        top_k: Channels that are scaled, 1 … size of the embeddings. Paper: 4; 8 in its
            first table.
        bank_size: Differences remembered of a class, at least 1. Paper: 10.
        scale: How far a channel is scaled: r draws from 1 - r … 1 + r; `(low, high)`
            from between. 0 does not scale. Paper: 0.01; the authors' default for
            Stanford Online Products: (0.5, 2.0).
        shift: How much of a difference is added, at least 0. Paper: 0.01; the authors'
            scripts for Stanford Online Products: 0.1.
        normalize: Whether embeddings are scaled to length 1 before anything, and copies
            after it. The paper does not, where the loss takes raw embeddings.
        detach: Whether the copies are constants. They then pull and push the batch's
            embeddings all the same, but move with none. The authors' scripts: yes for
            CUB and Cars, mostly no for Stanford Online Products.
        decay: What a step leaves of the recorded counts of the classes in it, above 0
            and at most 1. Paper: 1, which never forgets.
        bank_dtype: In which differences are kept: "float32", or half of its memory,
            "float16" or "bfloat16".
        seed: Integer that the draws begin with; `None` takes a random one.
        name: Name of the layer.

    Raises:
        ValueError: If an argument is outside its range; when built, if `top_k` is
            larger than the embeddings; when called, if labels are tags.

    Example:

    >>> copies = kerasdml.references.DenselyAnchored(num_classes=100)
    >>> model.compile("adam", loss=losses.MultiSimilarity(references=[copies]))

    The authors' auxiliary loss is `losses.Triplet() + losses.Triplet(references=[…],
    name="with_copies")`.

    It keeps `(num_classes + 1) * dim * (bank_size + 1)` numbers.

    Source: Liu et al., "Densely-Anchored Sampling for Deep Metric Learning", ECCV 2022,
    https://arxiv.org/abs/2208.00119. Where an example has more than `bank_size` others
    of its class in the batch, its differences to the last of them are remembered.
    """

    anchors = True
    exclude_own_copies = False

    def __init__(
        self,
        *,
        num_classes,
        copies=3,
        top_k=4,
        bank_size=10,
        scale=0.01,
        shift=0.01,
        normalize=True,
        detach=True,
        decay=1.0,
        bank_dtype="float32",
        seed=None,
        name="densely_anchored",
    ):
        super().__init__(name=name)
        self.num_classes = check_num_classes(num_classes)
        self.copies = check_count("copies", copies, 0)
        self.top_k = check_count("top_k", top_k, 1)
        self.bank_size = check_count("bank_size", bank_size, 1)
        self.scale = list(scale) if isinstance(scale, (list, tuple)) else scale
        self.low, self.high = _range(scale)
        if shift < 0 or not 0 < decay <= 1:
            raise ValueError(
                "`shift` must be at least 0 and `decay` in (0, 1]. "
                f"Received: shift={shift}, decay={decay}."
            )
        self.shift = shift
        self.normalize = normalize
        self.detach = detach
        self.decay = decay
        self.bank_dtype = bank_dtype
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.frequencies = ChannelFrequencies(
            num_classes=num_classes, top_k=top_k, decay=decay
        )
        self.bank = TransformationBank(
            num_classes=num_classes, size=bank_size, bank_dtype=bank_dtype
        )

    def build(self, dim):
        """Creates the counts and the bank, for embeddings of size `dim`."""
        if self.top_k > dim:
            raise ValueError(
                "`top_k` must not be larger than the embeddings. "
                f"Received: top_k={self.top_k} for embeddings of size {dim}."
            )
        self.frequencies.build(dim)
        self.bank.build(dim)
        self.built = True

    def check_labels(self, labels):
        check_classes(labels, self.num_classes)

    def call(self, batch, training=None):
        check_class_ids(self, batch.labels)
        if not training or self.copies == 0:
            return no_references(batch)
        x = normalize(batch.embeddings) if self.normalize else batch.embeddings
        still = ops.stop_gradient(x)
        classes, outside = rows_of_classes(batch.labels, self.num_classes)
        self.frequencies.record(classes, still)
        self.bank.add(classes, still)
        varied = self._varied(still if self.detach else x, classes)
        return copies_of(batch, ops.where(outside, float("nan"), varied))

    def _varied(self, x, classes):
        """Returns `(copies, q, d)` variations of `x (q, d)`."""
        stream, shape = self.seed_generator, (self.copies, ops.shape(x)[0])
        channels = self.frequencies.frequent(classes)
        factors = keras.random.uniform((*shape, self.top_k), seed=stream)
        factors = self.low + (self.high - self.low) * factors
        marked = ops.one_hot(channels, x.shape[1], dtype=x.dtype)
        scales = 1.0 + ops.einsum("tqk,qkd->tqd", factors - 1.0, marked)
        shares = keras.random.uniform(shape, seed=stream)
        varied = scales * x + self.shift * self.bank.drawn(classes, shares)
        return normalize(varied) if self.normalize else varied


def _range(scale):
    pair = isinstance(scale, (list, tuple)) and len(scale) == 2
    low, high = scale if pair else (1 - scale, 1 + scale)
    if not 0 < low <= high:
        raise ValueError(
            "`scale` must be a number r in [0, 1), or a pair of positive numbers, the "
            f"lower first. Received: scale={scale}."
        )
    return low, high
