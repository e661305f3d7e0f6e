"""Batches and pairs for the tests of single losses."""

import inspect

import keras
import numpy as np
import pytest

from kerasdml import losses
from kerasdml.step import step


def construct(name, **arguments):
    """Makes the loss of a public name with its defaults, for 4 classes."""
    cls = getattr(losses, name)
    if cls is losses.Sum:
        parts = losses.MultiSimilarity(), losses.ArcFace(num_classes=4)
        return cls(losses=parts, weights=[1.0, 0.5], **arguments)
    if cls is losses.Ensemble:
        parts = losses.MultiSimilarity(), losses.ArcFace(num_classes=4)
        return cls(losses=parts, prior=[2.0, 1.0], **arguments)
    if cls is losses.DiverseEnsemble:
        # As one head; the sum of its weights is held at 1, which hides all else.
        parts = [losses.Contrastive(positive_margin=0.9)]
        return cls(losses=parts, penalty=0.01, **arguments)
    if name == "DenoisingMultiSimilarity":
        arguments.setdefault("num_samples", 32)
    if cls is losses.HIER:
        arguments = {"num_proxies": 8, "triplets": 4, "top_k": 3, **arguments}
    if cls is losses.ProxySynthesis:
        return cls(loss=losses.ProxyNCA(num_classes=4), **arguments)
    required = inspect.signature(cls.__init__).parameters
    if "num_classes" in required and "num_classes" not in arguments:
        without_default = required["num_classes"].default is inspect.Parameter.empty
        arguments |= {"num_classes": 4} if without_default else {}
    return cls(**arguments)


def with_fields(labels):
    """A step in which every field that a loss can ask for is there."""
    rows = keras.ops.arange(keras.ops.shape(labels)[0])
    # Points on a curve of which no part is straight.
    speeds = keras.ops.array([0.5, 0.8, 1.3])
    curve = keras.ops.sin(keras.ops.cast(rows, "float32")[:, None] * speeds)
    fields = {"index": rows, "modality": rows % 2, "teacher": curve}
    return step.of(fields, training=False)


def unbalanced_batch(seed):
    """Labels and embeddings of 5 classes with 1 to 5 examples, in random order."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([3, 0, 7, 2, 11], [1, 2, 5, 3, 2]))
    return labels, generator.normal(size=(labels.size, 4)).astype("float32")


def masks(labels):
    """The definition of positives and negatives within a batch."""
    same = labels[:, None] == labels
    return same & ~np.eye(labels.size, dtype=bool), ~same


def cosines(embeddings):
    x = np.asarray(embeddings, "float64")
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


def distances(embeddings):
    x = np.asarray(embeddings, "float64")
    return np.linalg.norm(x[:, None] - x, axis=2)


@pytest.fixture(params=range(3), ids="seed {}".format)
def unbalanced(request):
    """`labels (13,), embeddings (13, 4)`: classes of 1, 2, 2, 3 and 5 examples."""
    return unbalanced_batch(request.param)


@pytest.fixture(params=["half circle", "seed 3", "seed 4"])
def any_pairs(request, pairs):
    """`pairs`, or the cosines and masks of a random unbalanced batch."""
    if request.param == "half circle":
        return pairs
    labels, embeddings = unbalanced_batch(int(request.param.split()[1]))
    return cosines(embeddings).astype("float32"), *masks(labels)


@pytest.fixture
def one_anchor():
    """Makes the `(1, r)` pairs of an anchor with these similarities."""

    def make(positives, negatives):
        similarities = np.array([[*positives, *negatives]], "float32")
        positive = np.arange(similarities.size)[None] < len(positives)
        return similarities, positive, ~positive

    return make


@pytest.fixture
def with_proxies():
    """Builds a proxy loss and puts its proxies at `points (c, d)`."""

    def build(loss, points):
        loss.build(np.shape(points)[1])
        loss.proxies.points.assign(np.asarray(points, "float32"))
        return loss

    return build
