"""Similarities of queries to a gallery, a chunk of queries at a time."""

import hashlib

import numpy as np
from keras import ops

from kerasdml.ops import normalize
from kerasdml.ops import similarities as compared

# Numbers held at a time, 32 MiB of float32: enough to keep a matrix product busy, and
# small beside the embeddings of the galleries that need chunks at all. Of larger ones
# TensorFlow's products on CPUs were seen to keep several hundred MiB.
BLOCK = 2**23


def in_pieces(embeddings):
    """Yields the rows of `(n, d)` embeddings as float32, 32 MiB at a time."""
    step = max(1, BLOCK // embeddings.shape[1])
    for start in range(0, len(embeddings), step):
        yield np.asarray(embeddings[start : start + step], "float32")


def comparison(queries, gallery, similarity):
    """Returns a function of a slice of queries, that compares the gallery with them.

    Its values, `(rows, r)`, are in the order of the similarities, if not equal to them.
    Equal rows of the gallery get equal values: a matrix product may round equal columns
    differently, by where its blocks end, so all are read from the first one's.

    A gallery in a memory-mapped file is read again for every chunk, in pieces; one in
    memory is converted once.
    """
    of_queries, of_gallery, compare = _forms(gallery, similarity)
    if isinstance(gallery, np.memmap):
        pieces = Pieces(gallery, of_gallery)
    else:
        pieces = [of_gallery(gallery)]
    copies = first_copies(gallery)
    has_copies = (copies != np.arange(len(copies))).any()

    def of_rows(rows):
        chunk = of_queries(np.asarray(queries[rows], "float32"))
        parts = [compare(chunk, piece) for piece in pieces]
        similarities = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
        return ops.take(similarities, copies, axis=1) if has_copies else similarities

    return of_rows


class Pieces:
    """The converted pieces of a memory-mapped file, read anew each time."""

    def __init__(self, embeddings, convert):
        self.embeddings = embeddings
        self.convert = convert

    def __iter__(self):
        return map(self.convert, in_pieces(self.embeddings))


def first_copies(gallery):
    """Returns for every row the index of the first row equal to it, `(r,)` int32."""
    # Of 16 bytes a row, whatever its size; a collision will not be seen by anybody.
    digests = (hashlib.blake2b(row.tobytes(), digest_size=16) for row in gallery)
    digests = np.fromiter((d.digest() for d in digests), "S16", len(gallery))
    _, first, copy_of = np.unique(digests, return_index=True, return_inverse=True)
    return first[copy_of].astype("int32")


def _forms(gallery, similarity):
    """Returns what becomes of queries, of the gallery, and how the two compare."""
    if similarity in ("manhattan", "hyperbolic"):
        return (
            ops.convert_to_tensor,
            ops.convert_to_tensor,
            lambda queries, gallery: compared(queries, gallery, similarity),
        )
    if similarity == "cosine":
        of_queries = of_rows = _unit_vectors
    elif similarity == "dot":
        of_queries = of_rows = ops.convert_to_tensor
    else:
        of_queries, of_rows = _euclidean_as_inner_products(gallery, similarity)
    return of_queries, lambda gallery: ops.transpose(of_rows(gallery)), ops.matmul


def _unit_vectors(embeddings):
    return normalize(ops.convert_to_tensor(embeddings))


def _euclidean_as_inner_products(gallery, similarity):
    """Appends a coordinate by which `2 a·b - b²` becomes an inner product.

    That is `a² - (a - b)²`, which ranks the gallery as the distance does, and unlike
    the distance takes no root of a small difference of large numbers. A common offset
    would still cost digits, so the gallery's centre is moved to about zero: by whole
    powers of two, which does not round, so that equal distances stay equal.
    """

    def deviations(embeddings):
        # A query divides its distances from all by its own variance.
        if similarity == "signal_to_noise":
            return embeddings - embeddings.mean(axis=1, keepdims=True)
        return embeddings

    mean, spread = _moments(map(deviations, in_pieces(gallery)))
    step = np.exp2(np.floor(np.log2(np.where(spread > 0, spread, 1.0))))
    centre = step * np.round(mean / step)

    def of_queries(queries):
        queries = (deviations(queries) - centre).astype("float32")
        return _with_column(2 * queries, np.ones((len(queries), 1)))

    def of_gallery(gallery):
        gallery = (deviations(gallery) - centre).astype("float32")
        return _with_column(gallery, -np.sum(gallery**2, axis=1, keepdims=True))

    return of_queries, of_gallery


def _with_column(rows, column):
    return ops.convert_to_tensor(np.hstack([rows, column.astype("float32")]))


def _moments(pieces):
    """Returns the mean and the standard deviation of each coordinate, float64."""
    count, total, squares, origin = 0, 0.0, 0.0, None
    for piece in pieces:
        if origin is None:
            origin = piece[0].astype(float)  # or a common offset would cost digits
        piece = piece - origin
        count += len(piece)
        total += piece.sum(axis=0)
        squares += (piece**2).sum(axis=0)
    mean = total / count
    return origin + mean, np.sqrt(np.maximum(squares / count - mean**2, 0))
