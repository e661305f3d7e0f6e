"""Balanced self-paced learning (Zhang et al., AAAI 2023) of wrong labels.

Claim: weights that are learned in turns with the network leave wrongly labelled samples
out, and embeddings of unseen classes suffer less from them. Tested on 20 % and 50 % of
labels replaced by a random other class, against Multi-Similarity, and against the same
loss of pairs with all weights 1. The expected share of wrong labels is given. `auc` is
the ROC AUC of the weights at finding the replaced labels, `kept` the mean weight.
"""

import numpy as np

from kerasdml import losses
from kerasdml.callbacks import SelfPaced
from studies import common

DATA = "flowers"
STEPS = 600
EPOCHS = 12


def replaced(labels, share, seed):
    """Returns labels of which a share is wrong, and which those are."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(labels), bool)
    wrong[rng.permutation(len(labels))[: round(share * len(labels))]] = True
    count = labels.max() + 1
    others = (labels + rng.integers(1, count, len(labels))) % count
    return np.where(wrong, others, labels), wrong


def area(weights, wrong):
    """Returns how often a wrong label weighs less than a right one; equal is half."""
    bad, good = weights[wrong][:, None], weights[~wrong]
    return np.mean((bad < good) + 0.5 * (bad == good))


def plain(share, make_loss):
    def measure(data, seed):
        labels, _ = replaced(data.labels, share, seed)
        embedder = common.head(data)
        noisy = data.with_labels(labels)
        common.train(embedder, make_loss(data), noisy, seed, STEPS, epochs=EPOCHS)
        return data.evaluate(embedder)

    return measure


def weighted(share, **options):
    def measure(data, seed):
        labels, wrong = replaced(data.labels, share, seed)
        embedder = common.head(data)
        loss = pairs(data)
        paced = SelfPaced(
            (data.seen, labels),
            final_quantile=1.0 - share,
            batch_size=4096,
            seed=seed,
            **options,
        )
        common.train(
            embedder,
            loss,
            data.with_labels(labels),
            seed,
            STEPS,
            epochs=EPOCHS,
            callbacks=[paced],
        )
        weights = np.array(loss.sample_weights.values)
        found = {"auc": area(weights, wrong), "kept": weights.mean()}
        return {**data.evaluate(embedder), **found}

    return measure


def pairs(data):
    return losses.DenoisingMultiSimilarity(num_samples=len(data.labels))


RUNS = {
    name: measure
    for share in (0.2, 0.5)
    for name, measure in {
        f"MultiSimilarity, {share:.0%} wrong": plain(
            share, lambda data: losses.MultiSimilarity()
        ),
        f"pairs, all weights 1, {share:.0%} wrong": plain(share, pairs),
        f"self-paced pairs, {share:.0%} wrong": weighted(share),
    }.items()
}
