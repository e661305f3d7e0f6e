"""Multi-Proxies Anchor losses."""

import keras
from keras import ops

from kerasdml.layers.proxies import check_per_class
from kerasdml.losses.proxy_anchor import ProxyAnchor
from kerasdml.ops import class_similarities, log1p_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class MultiProxiesAnchor(ProxyAnchor):
    """Proxy-Anchor with several proxies a class, for classes of several kinds.

    A reconstruction: the paper's formulas could not be read, only what it says of them.
    The similarity `S` of an example to a class is that of `SoftTriple`, a mean of the
    cosines to its proxies weighted by their softmax, and takes the place of the cosine
    in `ProxyAnchor`. For `aggregation="class"`, with P and N the batch's examples of a
    class and of others:

        pull = log(1 + sum_P exp(-alpha * (S - margin)))
        push = log(1 + sum_N exp(+alpha * (S + margin)))
        loss = mean of `pull` over the classes in the batch + mean of `push` over all

    For "data" the sums are over an example's own class and over the other classes, and
    both means over the examples; "mixed" has the pull of "class" and the push of
    "data". With one proxy a class, "class" is `ProxyAnchor`.

    Pair weight: that of a class is as in `ProxyAnchor`, over examples for "class", over
    classes for "data". How the proxies of a class share it is as in `SoftTriple`, so
    far ones of the own class are pushed away.

    Args:
        num_classes: Number of classes, at least 2.
        per_class: Proxies a class has, at least 1. The default is a guess.
        temperature: Of the softmax over a class's proxies, in units of cosine, > 0. The
            default is SoftTriple's 0.1. Near 0 the closest proxy speaks for the class;
            with infinity it is the mean of all.
        aggregation: "class", "data" or "mixed", as above.
        alpha: Sharpness, per unit of cosine, > 0. The default is Proxy-Anchor's.
        margin: Cosine beyond which pairs still count, at least 0. The default is
            Proxy-Anchor's.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is out of its range; when called with `sample_weight`
            unless costs are per example, as for "data".

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.MultiProxiesAnchor(num_classes=100))

    Source: Saeki et al., "Multi-Proxy Anchor Family Loss for Several Types of
    Gradients", 2021, https://arxiv.org/abs/2110.03997. That similarity is taken from
    Qian et al., "SoftTriple Loss", ICCV 2019, https://arxiv.org/abs/1909.05235, the
    rest from Kim et al., "Proxy Anchor Loss", CVPR 2020. The names of the aggregations
    are those of the paper's abstract, their formulas a reconstruction too.
    """

    def __init__(
        self,
        *,
        num_classes,
        per_class=2,
        temperature=0.1,
        aggregation="class",
        alpha=32.0,
        margin=0.1,
        **kwargs,
    ):
        self.per_class = check_per_class(per_class)
        super().__init__(num_classes=num_classes, alpha=alpha, margin=margin, **kwargs)
        if temperature <= 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={temperature}."
            )
        if aggregation not in ("class", "data", "mixed"):
            raise ValueError(
                "`aggregation` must be one of 'class', 'data' and 'mixed'. "
                f"Received: aggregation={aggregation!r}."
            )
        self.temperature = temperature
        self.aggregation = aggregation
        self.per_anchor = aggregation == "data"

    def pair_loss(self, similarities, positives, negatives):
        """Returns costs whose mean is the loss: `(c,)` for "class", else `(q,)`."""
        s = class_similarities(similarities, self.per_class, self.temperature)
        positives, negatives = (x[:, :: self.per_class] for x in (positives, negatives))
        if self.aggregation == "class":
            return super().pair_loss(s, positives, negatives)
        push = log1p_sum_exp(self.alpha * (s + self.margin), negatives)
        if self.aggregation == "mixed":
            nothing = ops.zeros_like(negatives)
            return push + ops.mean(super().pair_loss(s, positives, nothing))
        return push + log1p_sum_exp(-self.alpha * (s - self.margin), positives)
