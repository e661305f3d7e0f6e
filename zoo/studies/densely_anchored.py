"""Densely-anchored sampling (Liu et al., ECCV 2022).

Claim: variations of embeddings as further anchors make Multi-Similarity and triplet
losses generalise better. Tested with the paper's defaults, with its 8 channels, and as
its authors train on Stanford Online Products (channels scaled by 0.5 to 2, a tenth of a
difference added, copies with gradients), against the same loss without copies.
"""

from kerasdml import losses, miners
from kerasdml.references import DenselyAnchored
from studies import common

DATA = "flowers"
STEPS = 600


def trained(make_loss, **options):
    def measure(data, seed):
        embedder = common.head(data)
        references = []
        if options:
            source = DenselyAnchored(num_classes=data.classes, seed=seed, **options)
            references = [source]
        common.train(embedder, make_loss(references), data, seed, STEPS)
        return data.evaluate(embedder)

    return measure


def pairs(references):
    return losses.MultiSimilarity(
        miner=miners.MultiSimilarity(), average="active", references=references
    )


def triplets(references):
    return losses.Triplet(
        negatives="semi_hard",
        similarity="squared_euclidean",
        margin=0.2,
        references=references,
    )


RUNS = {
    "Multi-Similarity": trained(pairs),
    "Multi-Similarity + DAS": trained(pairs, copies=3),
    "Multi-Similarity + DAS, 8 channels": trained(pairs, top_k=8),
    "Multi-Similarity + DAS, 0.5 to 2 and 0.1": trained(
        pairs, scale=(0.5, 2.0), shift=0.1, detach=False
    ),
    "Triplet": trained(triplets),
    "Triplet + DAS": trained(triplets, copies=3),
}
