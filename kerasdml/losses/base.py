"""The walk from labels and embeddings to costs, once for every loss."""

import abc
import numbers

import keras
import numpy as np
from keras import ops

from kerasdml.config import Configured
from kerasdml.layers import Proxies
from kerasdml.layers.proxies import check_num_classes
from kerasdml.ops import (
    by_row_blocks,
    check_classes,
    check_similarity,
    pair_masks,
    similarities,
    standardize_labels,
)
from kerasdml.references import AllReplicas, References, Source
from kerasdml.references.base import Stacked
from kerasdml.step import step

AVERAGES = ("anchors", "active", "pairs")


class MetricLoss(Configured, keras.losses.Loss, abc.ABC):
    """What all losses here share: labels as they came, layers, fields.

    Keras casts labels to the loss's dtype, where ids above 2^24 merge in float32; here
    they stay integers. Whatever a loss trains or remembers is in `layers`, which
    `kerasdml.MetricModel` attaches to the model: a bare `keras.Model` would never train
    them, so there such a loss raises.

    Args:
        name: Name of the loss, and the scope of its layers' weights.
        reduction: Keras' reduction of the `(q,)` costs.
        dtype: Of the computation; float32 whatever the dtype policy.
    """

    # What a data set must give beside the labels, such as ("index",).
    fields = ()
    # Whether there is one cost an anchor, so that `sample_weight` has a meaning.
    per_anchor = True
    # Whether labels may be tags, `(q, l)`, instead of class ids.
    takes_tags = False

    def __init__(self, *, name=None, reduction="sum_over_batch_size", dtype="float32"):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    @property
    def layers(self):
        """The layers that hold the loss's state, trained or remembered."""
        return []

    def build(self, dim):
        """Creates the loss's weights for embeddings of size `dim`.

        `MetricModel.compile` calls it; a custom training loop does so itself and trains
        the weights of `layers` with the model's.

        Raises:
            ValueError: If it has weights for embeddings of another size.
        """
        if self.layers and getattr(self, "_dim", dim) != dim:
            raise ValueError(
                f"{type(self).__name__} has weights for embeddings of size "
                f"{self._dim}; make a new one for those of size {dim}."
            )
        self._dim = dim
        with keras.name_scope(self.name):
            for layer in self.layers:
                if not layer.built:
                    layer.build(dim)

    @property
    def parts(self):
        """The losses that this is the sum of, if it is one; each is in the logs."""
        return []

    def check_labels(self, labels):
        """Raises a `ValueError` if concrete `labels` cannot be those of this loss."""
        labels = np.asarray(labels)
        self._check_kind(labels)
        if _are_tags(labels):
            return _check_tags(labels)
        if keras.backend.backend() == "jax" and np.max(labels, initial=0) >= 2**31:
            raise ValueError(
                "On the JAX backend class ids are 32-bit and must be below 2^31. "
                f"Received: {labels.max()}. Renumber them with `data.encode`."
            )
        return None

    def check_batch_size(self, batch_size):
        """Raises a `ValueError` if this loss cannot have batches of that size."""
        for layer in self.layers:
            if isinstance(layer, Source):
                layer.check_batch_size(batch_size)

    def __add__(self, other):
        from kerasdml.losses.sum import added  # which is a loss itself

        return added(self, other)

    def __mul__(self, weight):
        from kerasdml.losses.sum import times

        return times(self, weight)

    __rmul__ = __mul__

    def __call__(self, y_true, y_pred, sample_weight=None):
        if any(not layer.built for layer in self.layers):
            raise ValueError(
                f"{type(self).__name__} has weights of its own, which a plain Keras "
                "model would never train: wrap the embedder in kerasdml.MetricModel "
                "and compile that, or, in a custom loop, call `loss.build(dim)`."
            )
        if sample_weight is not None and not self.per_anchor:
            raise ValueError(
                f"{type(self).__name__} has no cost of its own for each example, so "
                "`sample_weight` has no meaning for it."
            )
        if isinstance(y_true, (list, np.ndarray)):
            y_true = np.asarray(y_true)
            self.check_labels(y_true)
        self._check_kind(y_true)
        self._check_embeddings(y_true, y_pred)
        with step.labelled(y_true):  # as they came; the base class casts its copy
            return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        del y_true  # cast to float: see `__call__`
        return self.costs(standardize_labels(step.labels), y_pred)

    @abc.abstractmethod
    def costs(self, labels, embeddings):
        """Returns the costs, `(q,)`, of `labels (q,)` and `embeddings (q, d)`."""

    def _check_embeddings(self, labels, embeddings):
        shape = tuple(embeddings.shape)
        if len(shape) != 2:
            raise ValueError(
                f"Embeddings must be of shape (q, d). Received: shape {shape}."
            )
        if None not in (labels.shape[0], shape[0]) and labels.shape[0] != shape[0]:
            raise ValueError(
                "There must be one label for each embedding. "
                f"Received: {labels.shape[0]} labels for {shape[0]} embeddings."
            )
        if self.layers and shape[1] != self._dim:
            raise ValueError(
                f"{type(self).__name__} was built for embeddings of size {self._dim}. "
                f"Received: size {shape[1]}."
            )

    def _check_kind(self, labels):
        if _are_tags(labels):
            if not self.takes_tags:
                raise ValueError(
                    f"{type(self).__name__} needs one class id an example, of shape "
                    "(q,) or (q, 1). Tags, of shape (q, l), are for losses of pairs. "
                    f"Received: shape {tuple(labels.shape)}."
                )
        elif "int" not in _dtype_name(labels):
            raise ValueError(
                "Labels must be integer class ids; `data.encode` makes them of "
                f"anything. Received: dtype {_dtype_name(labels)}."
            )


class PairLoss(MetricLoss):
    """A loss of pairs: each anchor of the batch against references.

    References are the batch itself and whatever `references` add. A loss overrides
    `pair_loss`, or `cost` where it needs labels, norms or the embeddings themselves.

    Labels are class ids `(q,)`, or tags `(q, l)`: multi-hot, or grades 0 … 1. Examples
    whose tags have a Jaccard similarity (`ops.tag_similarities`) of at least
    `positive_at` are positives of one another, of at most `negative_at` negatives, and
    between them neither.

    Args:
        similarity: "cosine", "dot", or minus a distance: "euclidean",
            "squared_euclidean", "manhattan", "signal_to_noise" or "hyperbolic", as
            `ops.similarities` describes them.
        references: Further references: `references.Source` layers, whose rows are
            appended to the batch's in the order of the list. `references.AllReplicas`
            comes first. A loss that compares references with one another takes only
            sources whose rows are anchors, their own copies not excluded.
        miner: A `kerasdml.miners` object that narrows the pairs, or `None`.
        average: What the sum of costs is divided by: "anchors", all of them; "active",
            those whose cost is not 0; "pairs", the pairs or triplets that the costs are
            sums of, where they are sums.
        positive_at: Similarity of tags that makes a positive pair, at most 1.
        negative_at: Similarity of tags that makes a negative pair, at least 0 and below
            `positive_at`.
        row_blocks: Number of parts in which the batch's anchors are compared with the
            references, one after another, and again on the way back: the same values
            in about that many times less memory, for about half as much time more.
        **kwargs: `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is none of the above, or if the loss cannot do it.
    """

    takes_tags = True

    # Whether the formula needs rows of `similarities` for the references too.
    needs_rows_of_references = False
    # Whether an anchor's cost follows from its own row of `similarities`.
    row_wise = True

    def __init__(
        self,
        *,
        similarity="cosine",
        references=(),
        miner=None,
        average="anchors",
        positive_at=0.5,
        negative_at=0.25,
        row_blocks=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.similarity = check_similarity(similarity)
        self.references = list(references)
        self.miner = miner
        self.average = average
        self.positive_at = positive_at
        self.negative_at = negative_at
        if not 0 <= negative_at < positive_at <= 1:
            raise ValueError(
                "`negative_at` must be at least 0 and below `positive_at`, which must "
                f"be at most 1. Received: positive_at={positive_at}, "
                f"negative_at={negative_at}."
            )
        if average not in AVERAGES:
            raise ValueError(
                "`average` must be one of 'anchors', 'active' and 'pairs'. "
                f"Received: average={average!r}."
            )
        if average == "pairs" and type(self).pair_count is PairLoss.pair_count:
            raise ValueError(
                f"The costs of {type(self).__name__} are no sums over pairs: `average` "
                "must be 'anchors' or 'active'. Received: average='pairs'."
            )
        self._check_references()
        self.row_blocks = row_blocks
        self._check_row_blocks()

    @property
    def layers(self):
        return [*self.references, *(self.miner.layers if self.miner else ())]

    def check_labels(self, labels):
        super().check_labels(labels)
        for source in self.references:
            source.check_labels(labels)

    def costs(self, labels, embeddings):
        rows = ops.arange(ops.shape(labels)[0], dtype="int32")
        own = References(embeddings, labels, rows)
        if not self._replicas():
            return self._costs(own, own)
        whole, start = self._replicas()[0].gathered(own)
        if self._needs_all_rows():
            return ops.slice(self._costs(whole, whole), (start,), ops.shape(rows))
        return self._costs(own._replace(copy_of=rows + start), whole)

    def _costs(self, own, batch):
        """Returns the costs of `own`: some rows of `batch`; all, if any are copied."""
        copies, references = self._from_sources(batch)
        costs = self.cost(_stacked([own, *copies]), references)
        if self.average == "active":
            costs = per(_count(costs > 0), costs)
        if copies:
            shape = (-1, ops.shape(own.copy_of)[0])
            costs = ops.mean(ops.reshape(costs, shape), axis=0)
        return costs

    def _from_sources(self, batch):
        """Returns a list of copies that are anchors, and all references."""
        copies, references, size = [], [batch], ops.shape(batch.copy_of)[0]
        for source in self.references[len(self._replicas()) :]:
            found = step.once(
                lambda source=source: source(batch, training=step.training),
                source,
                batch.embeddings,
            )
            if found.copy_of.shape[0] == 0:
                continue  # as if it were not there, for the same rounding
            found = found._replace(labels=ops.cast(found.labels, batch.labels.dtype))
            count = ops.shape(found.copy_of)[0]
            if not source.exclude_own_copies:
                # A number of its own, so that an anchor is excluded from itself alone.
                numbers = size + ops.arange(count, dtype="int32")
                found = found._replace(copy_of=numbers)
            size = size + count
            references.append(found)
            if source.anchors:
                copies.append(found)
        return copies, _stacked(references)

    def _replicas(self):
        return [x for x in self.references[:1] if isinstance(x, AllReplicas)]

    def _needs_all_rows(self):
        copies = any(source.anchors for source in self.references)
        rows = self._not_row_wise() or self.needs_rows_of_references
        return bool(copies or rows or self.average != "anchors")

    def cost(self, anchors, references):
        """Returns `(q,)` costs of q anchors against r references, both `References`."""
        if self.row_blocks == 1:
            return self.pair_cost(*self.pairs(anchors, references))
        costs, counts = by_row_blocks(
            lambda *x: self.counted(*self.pairs(*x)),
            References(*anchors),
            References(*references),
            self.row_blocks,
        )
        return per(ops.sum(counts), costs) if self.average == "pairs" else costs

    def pairs(self, anchors, references):
        """Returns `similarities, positives, negatives`, each `(q, r)`."""
        s = references.similarities(anchors.embeddings, self.similarity)
        positives, negatives = pair_masks(
            anchors.labels,
            references.labels,
            references.copy_of,
            self.positive_at,
            self.negative_at,
            rows=anchors.copy_of,
        )
        if self.miner:
            seen = (anchors, references) if self.miner.needs_examples else ()
            mined = self.miner(ops.stop_gradient(s), positives, negatives, *seen)
            positives, negatives = mined
        return s, positives, negatives

    def pair_cost(self, similarities, positives, negatives):
        """Returns `pair_loss`, divided by the number of pairs if `average` says so."""
        costs, counts = self.counted(similarities, positives, negatives)
        return per(ops.sum(counts), costs) if self.average == "pairs" else costs

    def counted(self, similarities, positives, negatives):
        """Returns `pair_loss`, and the pairs in it where `average` asks for them."""
        pairs = similarities, positives, negatives
        if self.average != "pairs":
            costs = self.pair_loss(*pairs)
            return costs, ops.zeros_like(costs)
        costs, counts = self.pair_loss_and_count(*pairs)
        return costs, ops.stop_gradient(ops.cast(counts, costs.dtype))

    @abc.abstractmethod
    def pair_loss(self, similarities, positives, negatives):
        """Returns `(q,)` costs; all arguments are `(q, r)`."""

    def pair_count(self, similarities, positives, negatives):
        """Returns `(q,)` how many pairs or triplets each cost is a sum of."""
        raise NotImplementedError

    def pair_loss_and_count(self, similarities, positives, negatives):
        """Returns both; a loss that finds one on the way to the other overrides it."""
        pairs = similarities, positives, negatives
        return self.pair_loss(*pairs), self.pair_count(*pairs)

    def _check_references(self):
        sources = self.references[len(self._replicas()) :]
        columns = [x for x in sources if not _enlarges_batch(x)]
        if columns and self.needs_rows_of_references:
            raise ValueError(
                f"{type(self).__name__} compares its references with one another, so "
                "it takes none but the batch and sources whose rows are anchors like "
                f"any others. Received: references={columns}."
            )
        others = [x for x in columns if not isinstance(x, Source)]
        if others:
            raise ValueError(
                "`references` must be sources of `kerasdml.references`. "
                f"Received: {others}."
            )
        if any(isinstance(x, AllReplicas) for x in sources):
            raise ValueError(
                "`references.AllReplicas` must be the first of `references`, once: it "
                f"gives the others their batch. Received: {self.references}."
            )

    def _check_row_blocks(self):
        if not isinstance(self.row_blocks, numbers.Integral) or self.row_blocks < 1:
            raise ValueError(
                "`row_blocks` must be an integer of at least 1. "
                f"Received: row_blocks={self.row_blocks!r}."
            )
        whole = self._not_row_wise()
        if self.row_blocks > 1 and (whole or self.needs_rows_of_references):
            name = type((whole or [self])[0]).__name__
            raise ValueError(
                f"{name} needs all rows of the batch at once: `row_blocks` must be 1. "
                f"Received: row_blocks={self.row_blocks}."
            )

    def _not_row_wise(self):
        return [
            *([] if self.row_wise and type(self).cost is PairLoss.cost else [self]),
            *([] if self.miner is None or self.miner.row_wise else [self.miner]),
        ]


class ClassLoss(MetricLoss):
    """A loss that keeps something of each class.

    An example labelled -1 has no class and no cost. Any other label outside 0 …
    num_classes - 1 is an error; in a compiled step, where labels cannot be looked at,
    it turns the loss into NaN rather than into a plausible number.

    Args:
        num_classes: Number of classes, at least 2; labels are 0 … num_classes - 1.
        **kwargs: `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `num_classes` is not an integer of at least 2.
    """

    def __init__(self, *, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = check_num_classes(num_classes)

    def check_labels(self, labels):
        super().check_labels(labels)
        check_classes(labels, self.num_classes)

    def costs(self, labels, embeddings):
        outside = ops.any(ops.logical_or(labels < -1, labels >= self.num_classes))
        costs = self.class_costs(labels, embeddings)
        # Not earlier: under XLA a maximum over NaN need not be NaN.
        return ops.where(outside, float("nan"), costs)

    @abc.abstractmethod
    def class_costs(self, labels, embeddings):
        """Returns `costs`, whatever it likes where a label is outside."""


class ProxyLoss(ClassLoss):
    """A loss of examples against the learned proxies of the classes.

    Args:
        num_classes: Number of classes, at least 2; labels are 0 … num_classes - 1.
        regularizer: Keras regularizer of the proxies, such as those of
            `kerasdml.regularizers`, its name, or `None`. Its penalty is one of the
            model's `losses`, as those of kernels are, apart from the costs.
        **kwargs: `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `num_classes` is not an integer of at least 2.
    """

    # How many proxies a class has. A loss with several sets its own before it calls
    # `super().__init__`; its similarities then have `num_classes * per_class` columns,
    # class by class.
    per_class = 1

    def __init__(self, *, num_classes, regularizer=None, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        self.regularizer = keras.regularizers.get(regularizer)
        self.proxies = Proxies(
            num_classes,
            self.initializer(num_classes),
            regularizer=self.regularizer,
            per_class=self.per_class,
        )

    def initializer(self, num_classes):
        """Returns the Keras initializer of the proxies."""
        del num_classes
        return "random_normal"

    @property
    def layers(self):
        return [self.proxies]

    def class_costs(self, labels, embeddings):
        columns = ops.arange(self.num_classes * self.per_class, dtype=labels.dtype)
        positives = labels[:, None] == columns // self.per_class
        negatives = ops.logical_and(labels[:, None] != -1, ops.logical_not(positives))
        return self.cost(embeddings, positives, negatives)

    def cost(self, embeddings, positives, negatives):
        """Returns `(q,)` costs; a loss that needs more than cosines overrides it."""
        s = similarities(embeddings, ops.cast(self.proxies.points, embeddings.dtype))
        return self.pair_loss(s, positives, negatives)

    @abc.abstractmethod
    def pair_loss(self, similarities, positives, negatives):
        """Returns `(q,)` costs; all arguments are `(q, c)`, c counting all proxies."""


def _dtype_name(labels):
    return getattr(labels.dtype, "name", str(labels.dtype))


def _are_tags(labels):
    return len(labels.shape) == 2 and labels.shape[1] != 1 and _is_number(labels)


def _is_number(labels):
    return any(kind in _dtype_name(labels) for kind in ("int", "float", "bool"))


def _check_tags(labels):
    lowest, highest = np.min(labels, initial=0), np.max(labels, initial=0)
    if not (lowest >= 0 and highest <= 1):
        raise ValueError(
            "Tags must be multi-hot, 0 or 1, or grades between. "
            f"Received: {lowest} … {highest}."
        )


def _enlarges_batch(source):
    anchors = isinstance(source, Source) and source.anchors
    return anchors and not source.exclude_own_copies


def _stacked(parts):
    return parts[0] if len(parts) == 1 else Stacked(parts)


def _count(mask):
    return ops.sum(ops.cast(mask, "float32"))


def per(count, costs):
    """Scales costs so that Keras' mean of them is their sum over `count`."""
    anchors = ops.cast(ops.shape(costs)[0], costs.dtype)
    return costs * (anchors / ops.maximum(ops.cast(count, costs.dtype), 1.0))
