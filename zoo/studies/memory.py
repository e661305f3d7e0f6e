"""Cross-batch memory (Wang et al., CVPR 2020): a memory beside a pair loss.

Claim: pairs with remembered embeddings improve retrieval of unseen classes over the
same loss on the batch alone. Tested with the contrastive loss, which the paper trains
most, and with Multi-Similarity, on batches of 16. Size and warm-up were not chosen.
"""

from kerasdml import losses, references
from studies import common

DATA = "flowers"
STEPS = 600
SIZE, WARM_UP = 512, 100


def run(loss, size=SIZE, warm_up=WARM_UP):
    def measure(data, seed):
        sources = [references.MemoryBank(size, warm_up=warm_up)] if size else []
        embedder = common.head(data)
        batches = data.batches(seed, classes=4, per_class=4)
        trained = loss(references=sources)
        common.train(embedder, trained, data, seed, STEPS, batches=batches)
        return data.evaluate(embedder)

    return measure


def contrastive(**arguments):
    return losses.Contrastive(average="pairs", **arguments)


RUNS = {
    "Contrastive, batches of 16": run(contrastive, size=0),
    "Contrastive + memory of 512": run(contrastive),
    "MultiSimilarity, batches of 16": run(losses.MultiSimilarity, size=0),
    "MultiSimilarity + memory of 512": run(losses.MultiSimilarity),
}
