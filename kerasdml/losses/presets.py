"""Losses set as a publication has them, where that is not the default of a class."""

import keras

from kerasdml.losses.multi_similarity import MultiSimilarity
from kerasdml.losses.proxy_anchor import ProxyAnchor
from kerasdml.losses.proxy_nca import ProxyNCA


def proxy_nca(num_classes):
    """Returns Proxy-NCA as in its paper: the own proxy is not in the denominator.

    Source: Movshovitz-Attias et al., ICCV 2017, https://arxiv.org/abs/1703.07464.
    Embeddings and proxies have a length of 3, as the common code has for CUB and Cars.
    """
    return ProxyNCA(
        num_classes=num_classes,
        include_positive=False,
        embedding_scale=3.0,
        proxy_scale=3.0,
    )


def proxy_nca_pp(num_classes):
    """Returns ProxyNCA++: softmax at a temperature of 1/9, of labels that are not soft.

    The paper has it with max pooling, embeddings of size 2048, batches of 8 classes × 4
    (64 × 3 for larger data) and the optimizer of `proxy_nca_pp_optimizer`.

    Source: Teh et al., ECCV 2020, https://arxiv.org/abs/2004.01113.
    """
    return ProxyNCA(
        num_classes=num_classes,
        include_positive=True,
        embedding_scale=3.0,
        proxy_scale=3.0,
        label_smoothing=0.0,
    )


def proxy_nca_pp_optimizer(learning_rate=4e-3, proxy_learning_rate=4e2):
    """Returns the optimizer of ProxyNCA++, whose proxies learn 100,000 times as fast.

    Its epsilon of 1 makes a step of Adam nearly one of gradient descent with momentum,
    hence the rates. Keras adds epsilon before it corrects the bias of the second
    moment and PyTorch, which the rates are for, after: the first steps here are up to
    30 times smaller.

    Args:
        learning_rate: Of the embedder. The paper: 4e-3 for CUB-200-2011 and Cars-196,
            2.4e-2 for Stanford Online Products and In-Shop.
        proxy_learning_rate: Of the proxies. The paper: 4e2; for Products 240 and for
            In-Shop 2.4e3.

    Source: Teh et al., ECCV 2020, https://arxiv.org/abs/2004.01113, and its code, which
    also clips gradients at 10 in value, as this does.
    """
    embedder, proxies = (
        keras.optimizers.Adam(rate, epsilon=1.0, clipvalue=10.0)
        for rate in (learning_rate, proxy_learning_rate)
    )
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(embedder, {"(.*/)?proxies/.*": proxies})
    )


def multi_head(num_classes):
    """Returns the hybrid of `models.GlobalLocal`: pairs, and a little of proxies.

    It is Multi-Similarity with the sign of its second sum as printed, without mining,
    plus 0.03 of Proxy-Anchor. A reconstruction.

    Source: Ebrahimpour et al., "Multi-Head Deep Metric Learning Using Global and Local
    Representations", WACV 2022, https://arxiv.org/abs/2112.14327.
    """
    pairs = MultiSimilarity(beta=50.0, base=1.0, negative_sign="printed")
    return pairs + 0.03 * ProxyAnchor(num_classes=num_classes)
