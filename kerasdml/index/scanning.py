"""Exact comparison in blocks of rows, in TensorFlow's own operations."""

import tensorflow as tf

# Float32 numbers that one block of rows may have: 16 MB.
_NUMBERS_IN_BLOCK = 2**22

# Candidates beyond k that are scored exactly, since a matrix product may round two
# nearly equal similarities to the wrong order.
SPARE = 8


def block_rows(dim):
    """How many rows of a table are compared at once."""
    return max(1, _NUMBERS_IN_BLOCK // dim)


def scan(score, rows, k, block):
    """The rows of highest score, without all scores in memory at once.

    Args:
        score: Function of `start` and `count`, giving `(q, count)` scores of the rows
            from `start` on. `start` may be a tensor.
        rows: How many there are.
        k: How many to find, 1 … `rows`.
        block: Rows at a time.

    Returns:
        `(q, k)` int32 rows, descending by score; of equal scores the first first.
    """

    def best(start, count):
        scores, at = tf.math.top_k(score(start, count), min(k, count))
        return scores, at + start

    if rows <= block:
        return best(0, rows)[1]
    whole, rest = divmod(rows, block)
    scores, at = tf.map_fn(
        lambda start: best(start, block),
        tf.range(whole) * block,
        fn_output_signature=(tf.float32, tf.int32),
        parallel_iterations=2,
    )
    columns = [(_side_by_side(scores), _side_by_side(at))]
    if rest:
        columns.append(best(whole * block, rest))
    return merge(columns, k)[1]


def merge(columns, k):
    """The best `k` of several lists of neighbours.

    Args:
        columns: `(scores, positions)` pairs, each `(q, c)`.
        k: How many to keep, at most all columns.

    Returns:
        `(scores, positions)`, each `(q, k)`, descending; of equal scores the first of
        the first list first.
    """
    scores = tf.concat([scores for scores, _ in columns], axis=1)
    positions = tf.concat([positions for _, positions in columns], axis=1)
    best, order = tf.math.top_k(scores, k)
    return best, tf.gather(positions, order, batch_dims=1)


def nearest_of(queries, vectors, rows, k, similarity):
    """The nearest of some embeddings, without all similarities in memory at once.

    Args:
        queries: `(q, d)` embeddings.
        vectors: Function of places, int32 of any shape, giving the embeddings there.
        rows: How many places there are.
        k: How many to find; `SPARE` more are given, as far as there are that many.
        similarity: "cosine" (of unit vectors), "dot" or "euclidean".

    Returns:
        `(scores, places)`, each `(q, c)`: exact scores, in the order of places.
    """

    def score(start, count):
        return comparable(queries, vectors(start + tf.range(count)), similarity)

    at = scan(score, rows, min(k + SPARE, rows), block_rows(queries.shape[1]))
    at = tf.sort(at, axis=1)
    return exact_scores(queries, vectors(at), similarity), at


def comparable(queries, rows, similarity):
    """`(q, r)` numbers that rank rows `(r, d)` as their similarity to queries does."""
    products = tf.matmul(queries, rows, transpose_b=True)
    if similarity != "euclidean":
        return products
    # (|q|² + |r|²) / 2 - q·r ranks by distance, and |q|² is the same for all.
    return products - tf.reduce_sum(tf.square(rows), axis=1) / 2.0


def exact_scores(queries, rows, similarity):
    """The similarity of each query with rows of its own.

    Of differences where it is Euclidean: in the expanded square, |q|² + |r|² - 2 q·r,
    the digits of a small distance cancel, and a stored embedding would not be at
    distance 0 of itself. And never of a matrix product, which rounds differently with
    the number of its rows: however a collection is divided, scores are the same.

    Args:
        queries: `(q, d)` embeddings.
        rows: `(q, c, d)` stored embeddings.
        similarity: "cosine" (of unit vectors), "dot" or "euclidean".

    Returns:
        `(q, c)` float32.
    """
    queries = queries[:, tf.newaxis]
    if similarity == "euclidean":
        return -tf.norm(queries - rows, axis=-1)
    return tf.reduce_sum(queries * rows, axis=-1)


def take(table, positions):
    """Rows of a variable or tensor; not by a variable's own sparse read.

    TensorFlow would take that as a sign of sparse updates, and copy the whole variable
    in every later read.
    """
    return tf.gather(tf.convert_to_tensor(table), positions)


def _side_by_side(blocks):
    """`(b, q, k)` as `(q, b k)`."""
    blocks = tf.transpose(blocks, [1, 0, 2])
    shape = tf.shape(blocks)
    return tf.reshape(blocks, [shape[0], shape[1] * shape[2]])
