"""Exact search: a matrix product and a top-k."""

import tensorflow as tf

from kerasdml.index.base import Index, by_distance, prepare


class Exact(Index):
    """Compares each query with every stored embedding.

    It uses TensorFlow's own operations only, so an exported model runs on any
    TensorFlow Serving. Time and memory grow with the number of embeddings. Of equal
    similarities, the one stored first comes first ("cosine" and "dot").

    A GPU may multiply with TF32, which keeps about three digits; for all of float32
    call `tf.config.experimental.enable_tensor_float_32_execution(False)`.

    Args:
        arrays: `{"embeddings": (n, d)}` float32, of unit length for "cosine".
        ids: `(n,)` distinct identifiers, int64 or str.
        labels: `(n,)` labels, int64 or str, or None.
        similarity: "cosine", "dot" or "euclidean" (minus the Euclidean distance).

    Example:

    >>> index = kerasdml.index.Exact.build(embedder.predict(gallery), ids)
    >>> scores, ids = index.search(embedder.predict(queries), k=5)
    """

    @classmethod
    def build(
        cls, embeddings, ids=None, labels=None, similarity: str = "cosine"
    ) -> "Exact":
        """Stores embeddings for exact search.

        Args:
            embeddings: `(n, d)` finite numbers. With "cosine", of any length.
            ids: `(n,)` distinct integers or strings; 0 … n-1 by default.
            labels: `(n,)` integers or strings, such as class names; may repeat.
            similarity: "cosine", "dot" or "euclidean" (minus the Euclidean distance).

        Returns:
            The index.

        Raises:
            ValueError: If `embeddings` is not finite or not of rank 2, if `ids`
                repeat, or if lengths or types do not fit.
        """
        embeddings, ids, labels = prepare(embeddings, ids, labels, similarity)
        return cls({"embeddings": embeddings}, ids, labels, similarity)

    def _restore(self, arrays):
        self.embeddings = tf.Variable(arrays["embeddings"], trainable=False)
        squares = tf.reduce_sum(tf.square(self.embeddings), axis=1)
        self._half_squares = tf.Variable(squares / 2.0, trainable=False)
        return tuple(self.embeddings.shape)

    def _arrays(self):
        return {"embeddings": self.embeddings.numpy()}

    def _nearest(self, queries, k):
        products = tf.matmul(queries, self.embeddings, transpose_b=True)
        if self.similarity != "euclidean":
            return tuple(tf.math.top_k(products, k))
        # (|q|² + |r|²) / 2 - q·r ranks by distance, and |q|² is the same for all.
        _, positions = tf.math.top_k(products - self._half_squares, k)
        return by_distance(self.embeddings, queries, positions)
