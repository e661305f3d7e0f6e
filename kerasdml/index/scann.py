"""Approximate search with ScaNN."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdml.index.base import SEARCHING_HERE
from kerasdml.index.items import checked
from kerasdml.index.scanning import take
from kerasdml.index.table import TableIndex
from kerasdml.index.tuning import tuned

# Below this many vectors a scan of all of them is fast (0.1 ms) and exact.
_SCANNED_BELOW = 10_000
# Asymmetric hashing learns 16 centres per block, from at least as many vectors.
_HASHED_FROM = 16
# The searcher's state, in the order in which ScaNN gives it.
_STATE = (
    "scann_config",
    "serialized_partitioner",
    "datapoint_to_token",
    "ah_codebook",
    "hashed_dataset",
    "int8_dataset",
    "int8_multipliers",
    "dp_norms",
    "dataset",
)
# Those of them that are serialised messages; kept as bytes.
_MESSAGES = ("scann_config", "serialized_partitioner", "ah_codebook")


class Scann(TableIndex):
    """Compares each query with a promising part of the stored embeddings.

    A large collection is partitioned into leaves. A search looks into the leaves whose
    centres are closest, ranks what is there by compressed vectors (asymmetric hashing,
    4 bits for 2 dimensions), and scores the best of them exactly, so scores are exact
    and a neighbour may be missed. A small collection is scanned whole.

    Sizes, where `build` is not told: below 10,000 vectors all are scanned; from there
    on there are √n leaves, a fifth of which is searched, and 100 candidates are scored
    exactly (10 k, if that is more). A large `k` widens the search, so that there are
    always `k` neighbours to return. `tune` measures what your embeddings need.

    What is added lies beside, and is compared exactly; each that is removed makes a
    search look for one more, until `compact` partitions the collection anew.

    An exported model needs a server with the ScaNN operations; `Exact` does not.

    Args:
        arrays: The state of ScaNN's searcher, by name.
        ids: `(n,)` distinct identifiers, int64 or str.
        labels: `(n,)` labels, int64 or str, or None.
        similarity: "cosine", "dot" or "euclidean" (minus the Euclidean distance).
        leaves: Parts of the collection; 0 scans all vectors.
        leaves_to_search: Parts that a search looks into, at most `leaves`.
        reorder: Candidates that are scored exactly for k of at most 10, ≥ 1; for more
            neighbours as many more.
        report: What `tune` measured, or None.
        **kwargs: `metadata`, JSON texts, and the `embedder`'s fingerprint.

    Raises:
        ImportError: If the scann package is missing.

    Example:

    >>> index = kerasdml.index.Scann.build(embedder.predict(gallery), ids)
    >>> index.tune(target_recall=0.95, queries=embedder.predict(held_out))
    >>> scores, ids = index.search(embedder.predict(queries), k=5)

    Source: Guo et al., "Accelerating Large-Scale Inference with Anisotropic Vector
    Quantization", ICML 2020, https://arxiv.org/abs/1908.10396.
    """

    op_namespaces = ("Scann",)

    def __init__(
        self,
        arrays,
        ids,
        labels,
        similarity,
        *,
        leaves,
        leaves_to_search,
        reorder,
        report=None,
        **kwargs,
    ):
        self.leaves = leaves
        self.leaves_to_search = leaves_to_search
        self.reorder = reorder
        super().__init__(arrays, ids, labels, similarity, **kwargs)
        self._book.report = report

    @property
    def report(self) -> dict | None:
        """What `tune` measured; None before, and after `compact` changed the rows."""
        return self._book.report

    @classmethod
    def build(
        cls,
        embeddings,
        ids=None,
        labels=None,
        similarity: str = "cosine",
        *,
        metadata=None,
        embedder: Any = None,
        leaves: int | None = None,
        leaves_to_search: int | None = None,
        reorder: int = 100,
    ) -> "Scann":
        """Partitions, compresses and stores embeddings for approximate search.

        Args:
            embeddings: `(n, d)` finite numbers. With "cosine", of a length ≥ 1e-19.
            ids: `(n,)` distinct integers or strings; 0 … n-1 by default.
            labels: `(n,)` integers or strings, such as class names; may repeat.
            similarity: "cosine", "dot" or "euclidean" (minus the Euclidean distance).
            metadata: `n` values that JSON can hold, such as dicts.
            embedder: The Keras model that made the embeddings, or its fingerprint,
                which is kept, so that `load` can tell it from others.
            leaves: Parts of the collection, 0 … n; 0 scans all vectors, more than 0
                needs at least 16. Default: 0 below 10,000 vectors, else √n.
            leaves_to_search: Parts that a search looks into, 1 … `leaves`; more find
                more and take longer. Default: a fifth.
            reorder: Candidates that are scored exactly for k of at most 10, ≥ 1; for
                more neighbours as many more, and k at least.

        Returns:
            The index.

        Raises:
            ImportError: If the scann package is missing.
            ValueError: If `embeddings` is not finite or not of rank 2, if `ids`
                repeat, if lengths or types do not fit, or if a size is out of range.
        """
        _scann_ops()
        embeddings, names = checked(embeddings, ids, labels, metadata, similarity)
        leaves, leaves_to_search = _sizes(len(embeddings), leaves, leaves_to_search)
        if reorder < 1:
            raise ValueError(
                f"`reorder` must be positive. Received: reorder={reorder}."
            )
        return cls(
            _partitioned(embeddings, similarity, leaves, leaves_to_search, reorder),
            names.ids,
            names.labels,
            similarity,
            leaves=leaves,
            leaves_to_search=leaves_to_search,
            reorder=reorder,
            metadata=names.metadata,
            embedder=embedder,
        )

    def tune(self, target_recall: float = 0.95, queries=None, k: int = 10) -> dict:
        """Chooses the fastest search that finds enough, by measuring.

        Searches with several numbers of `leaves_to_search` and `reorder` are compared
        with an exact one; of those that find the share `target_recall` of the true `k`
        neighbours, by two standard errors so that other queries do so too, the one with
        most queries a second is taken. Nothing is built anew, and the report is saved
        with the index.

        Args:
            target_recall: Share of the true neighbours to find, 0 < … ≤ 1.
            queries: `(q, dim)` embeddings that are not stored, such as those of a
                validation set; some hundreds. Default: 1,000 of the stored, each
                without itself, which are easier if your queries come from elsewhere.
            k: Neighbours to find.

        Returns:
            The report, also `report`: `target_recall`, `k`, `queries` (how many, and
            whether they were `held_out`), the chosen `leaves_to_search` and `reorder`,
            their `recall` with its `standard_error` and `queries_per_second`, and all
            that was `measured`.

        Raises:
            ValueError: If nothing reaches `target_recall`, if there are changes that
                `compact` has not folded in, or if an argument is out of range.

        Example:

        >>> index.tune(target_recall=0.99, queries=embedder.predict(held_out))
        """
        report = tuned(self, target_recall, queries, k)
        if self.leaves:
            self.leaves_to_search = report["leaves_to_search"]
            self.reorder = report["reorder"]
        self._book.report = report
        # Searches that were compiled have the former settings.
        self._book.changes += 1
        return report

    def _restore(self, arrays):
        scann_ops = _scann_ops()
        self._state = scann_ops.ScannState(_state_tensors(arrays))
        self._searcher = scann_ops.searcher_from_module(self._state)
        if self.leaves:
            leaf_of_row = arrays["datapoint_to_token"]
            sizes = np.bincount(leaf_of_row, minlength=self.leaves)
            self._fewest_in_leaves = np.cumsum(np.sort(sizes))
        return arrays["dataset"].shape

    def _arrays(self):
        return _state_arrays(self._state)

    def _built_anew(self, embeddings):
        usual, _ = _sizes(self._rows, None, None)
        # Leaves of the default number follow the collection, others stay.
        leaves = None if self.leaves == usual else min(self.leaves, len(embeddings))
        leaves, to_search = _sizes(len(embeddings), leaves, None)
        if self.leaves:
            to_search = math.ceil(leaves * self.leaves_to_search / self.leaves)
        arrays = _partitioned(
            embeddings, self.similarity, leaves, to_search, self.reorder
        )
        self.leaves, self.leaves_to_search = leaves, to_search
        self._book.report = None
        return arrays

    def _options(self):
        return {
            "leaves": self.leaves,
            "leaves_to_search": self.leaves_to_search,
            "reorder": self.reorder,
            "report": self.report,
        }

    def _candidates(self, queries, k):
        more = min(self._rows - k, self._widening())
        found, _ = self._found(
            queries, k, self.leaves_to_search, self.reorder, more=more
        )
        if self._removed is not None:
            # The first k that are left: only their float32 embeddings are then read.
            rank = tf.range(k + more)
            rank = tf.where(take(self._removed, found), rank + k + more, rank)
            _, first = tf.math.top_k(-rank, k)
            found = tf.gather(found, first, batch_dims=1)
        return tf.ensure_shape(found, (None, k))

    def _numbers_of_a_query(self, k):
        return super()._numbers_of_a_query(k) + 4 * self._widening()

    def _nearest_rows(self, queries, k):
        if self.similarity == "euclidean" or self._changed():
            return super()._nearest_rows(queries, k)
        # With nothing to merge them with, ScaNN's own products are exact enough.
        rows, scores = self._found(queries, k, self.leaves_to_search, self.reorder)
        return scores, rows

    def _found(self, queries, k, leaves_to_search, reorder, more=0):
        """`(rows, scores)`, as ScaNN finds them with some settings, nearest first.

        Each `(q, k + more)`, where `more` is the number that may turn out to be gone.
        """
        candidates = max(k, reorder, math.ceil(reorder * k / 10)) + more
        k += more
        leaves = max(leaves_to_search, self._leaves_for(k)) if self.leaves else None
        return self._live_searcher().search_batched_parallel(
            queries, k, min(self._rows, candidates), leaves
        )

    def _vectors(self, rows):
        return take(self._state.dataset, rows)

    def _live_searcher(self):
        """The searcher; inside a function one made of its tracked variables.

        A handle from outside would be of no use to the process that loads an export.
        TensorFlow keeps the resource, so only the first call of a function builds it.
        """
        if tf.inside_function() and not SEARCHING_HERE.get():
            return _scann_ops().searcher_from_module(self._state)
        return self._searcher

    def _leaves_for(self, k):
        """Enough leaves to hold `k` vectors, even if they are the smallest ones."""
        return int(np.searchsorted(self._fewest_in_leaves, k)) + 1


def _sizes(size, leaves, leaves_to_search):
    if leaves is None:
        leaves = 0 if size < _SCANNED_BELOW else round(math.sqrt(size))
    if not 0 <= leaves <= size or (leaves and size < _HASHED_FROM):
        raise ValueError(
            f"`leaves` must be 0 to scan all vectors, or from 1 to their number, of "
            f"which there must then be at least {_HASHED_FROM}. "
            f"Received: leaves={leaves} with {size} vectors."
        )
    if leaves_to_search is None:
        leaves_to_search = math.ceil(leaves / 5)
    if not min(1, leaves) <= leaves_to_search <= leaves:
        raise ValueError(
            f"`leaves_to_search` must be from 1 to the number of leaves, {leaves}. "
            f"Received: leaves_to_search={leaves_to_search}."
        )
    return leaves, leaves_to_search


def _partitioned(embeddings, similarity, leaves, leaves_to_search, reorder):
    """The state of a new searcher."""
    scann_ops = _scann_ops()
    # Unit vectors have the same neighbours by either; products are faster.
    measure = "squared_l2" if similarity == "euclidean" else "dot_product"
    builder = scann_ops.builder(embeddings, 10, measure)
    searcher = _configured(builder, leaves, leaves_to_search, reorder).build()
    arrays = _state_arrays(searcher.serialize_to_module())
    # Else it would stay in memory beside the one that is restored from its state.
    tf.raw_ops.DestroyResourceOp(resource=searcher.searcher_handle)
    return arrays


def _configured(builder, leaves, leaves_to_search, reorder):
    if leaves == 0:
        return builder.score_brute_force()
    return (
        builder.tree(leaves, leaves_to_search)
        # 2 dimensions per block and the threshold 0.2 are the authors' advice.
        .score_ah(min(2, builder.db.shape[1]), anisotropic_quantization_threshold=0.2)
        .reorder(reorder)
    )


def _state_arrays(state):
    """ScaNN's state as NumPy arrays by name, serialised messages as uint8."""
    arrays = {name: getattr(state, name).numpy() for name in _STATE}
    for name, array in arrays.items():
        # A part that is not used is a scalar of whatever lay in memory.
        if np.ndim(array) == 0:
            arrays[name] = np.zeros_like(array)
    for name in _MESSAGES:
        parts = tf.reshape(getattr(state, name), [-1]).numpy()
        arrays[name] = np.frombuffer(b"".join(parts), "uint8")
    return arrays


def _state_tensors(arrays):
    """The tensors that `_state_arrays` was made from; an unused message is empty."""
    tensors = {name: tf.constant(arrays[name]) for name in _STATE}
    for name in _MESSAGES:
        message = arrays[name].tobytes()
        tensors[name] = tf.constant([message] if message else b"")
    return list(tensors.values())


def _scann_ops():
    try:
        from scann import scann_ops
    except (ImportError, tf.errors.NotFoundError) as error:
        raise ImportError(
            "`index.Scann` needs the scann package (Linux x86-64): "
            "pip install scann==1.4.2. `index.Exact` needs nothing and is exact."
        ) from error
    return scann_ops
