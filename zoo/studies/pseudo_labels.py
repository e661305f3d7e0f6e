"""Pseudo-labels: a head trained on clusters, in place of labels (CBML, TPAMI 2022).

Claim: an embedder trained on the clusters of its own embeddings, found anew every
epoch, embeds unseen classes better than before that, without any label. Tested beside
the features as they are, the head before it is trained, and the head trained on labels;
by a loss of pairs and by one of proxies, whose clusters keep their numbers.

What was found: by the loss of pairs, yes, most of the way from the untrained head to
the one trained on labels; by proxies, no, where labels gain little too. The 1,280
features as they are stay ahead of any head of 64 numbers.
"""

import keras

import kerasdml
from kerasdml import losses
from studies import common

DATA = "flowers"
EPOCHS = 10
# Of 64 pictures: 38 of an epoch of 2,400.
STEPS = 38 * EPOCHS
CLUSTERS = 100
RATE = 1e-4


def of_features(data, seed):
    """Measures the features as they are."""
    same = [keras.Input(data.seen.shape[1:]), keras.layers.Identity()]
    return data.evaluate(keras.Sequential(same))


def of_head(data, seed):
    """Measures a head that is not trained."""
    return data.evaluate(common.head(data))


def measured(loss, clusters=CLUSTERS, **arguments):
    """Returns the function of a run on clusters, or on labels where there are none."""

    def measure(data, seed):
        embedder = common.head(data)
        batches = kerasdml.data.cluster_batches(
            len(data.labels), clusters or data.classes, 16, 4, seed=seed
        )
        pseudo = kerasdml.callbacks.PseudoLabels(
            batches, data.seen, seed=seed, batch_size=512, **arguments
        )
        if not clusters:
            batches.relabel(data.labels)
        model = kerasdml.MetricModel(embedder)
        model.compile(keras.optimizers.Adam(RATE), loss=loss(batches.clusters))
        model.fit(
            common.Relabelled(data.seen, batches),
            epochs=EPOCHS,
            callbacks=[pseudo] if clusters else [],
            verbose=0,
        )
        pairs = kerasdml.metrics.cluster_agreement(batches.labels, data.labels)
        return data.evaluate(embedder) | {"nmi_of_clusters": pairs["nmi"]}

    return measure


def pairs(classes):
    return losses.MultiSimilarity()


def proxies(classes):
    return losses.ProxyAnchor(num_classes=classes)


RUNS = {
    "features as they are": of_features,
    "head, not trained": of_head,
    "MultiSimilarity on pseudo-labels": measured(pairs),
    "MultiSimilarity on labels": measured(pairs, clusters=None),
    "ProxyAnchor on pseudo-labels": measured(proxies, keep_numbers=True),
    "ProxyAnchor on labels": measured(proxies, clusters=None),
}
