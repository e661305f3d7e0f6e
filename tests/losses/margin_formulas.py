"""What the formulas of softmax losses share, in float64."""

import numpy as np


def unit(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cross_entropy(logits, labels):
    rows = np.arange(len(labels))
    peaks = np.max(logits, axis=1)
    return (
        peaks
        + np.log(np.sum(np.exp(logits - peaks[:, None]), 1))
        - logits[rows, labels]
    )


def margin_softmax(cosines, labels, scale, own):
    """The costs of logits `scale * cos`, for the own class `scale * own(i, angle)`."""
    logits = scale * np.array(cosines, "float64")
    for i, k in enumerate(labels):
        logits[i, k] = scale * own(i, np.arccos(np.clip(cosines[i, k], -1, 1)))
    return cross_entropy(logits, labels)


def batch_and_proxies(seed, dim=2, per_class=1, classes=4):
    """24 labels and embeddings, and proxies. In the plane, all angles between occur."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, size=24)
    x = generator.normal(size=(24, dim)).astype("float32")
    return labels, x, generator.normal(size=(classes * per_class, dim))
