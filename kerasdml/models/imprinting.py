"""New classes for a trained model, from a few examples of each."""

import keras

from kerasdml.losses import ProxyLoss, Sum
from kerasdml.models.embedding import embed


def imprint(model, data, mode="append", batch_size=32, steps=None):
    """Teaches a trained model new classes by their examples, without training.

    The proxy of a class becomes the mean direction of the embeddings of its examples,
    which are computed in inference mode: a nearest-proxy classifier knows the class at
    once, and it is where training can go on, with batches balanced over old and new
    classes. Old proxies, and with them all similarities to them, stay the same to the
    last bit.

    New classes need a new loss, for the shapes of weights cannot change: with "append"
    the model is compiled again as it was, with a loss of more classes and a new
    optimizer, which has forgotten its moments. Other terms of a sum stay as they are.

    Args:
        model: `MetricModel` compiled with a loss that has one proxy a class, such as
            `losses.NormalizedSoftmax`, or with a sum of such and of losses that keep
            nothing of each class.
        data: Examples, as `models.embed` takes them: `(images, labels)`, or batches of
            that. Where they vary their pictures, several passes give as many varied
            copies of each; the paper found that to change little.
        mode: "append", "overwrite" or "accumulate", as of `layers.Proxies.imprint`.
        batch_size: Images a batch where `data` are arrays.
        steps: Batches to take, of data without an end.

    Raises:
        ValueError: If the loss is none of the above, or the labels do not fit the mode.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.NormalizedSoftmax(num_classes=100))
    >>> model.fit(base, epochs=20)
    >>> kerasdml.models.imprint(model, (images, labels))  # labelled 100, 101, …
    >>> both = kerasdml.data.balanced_batches(all_labels, classes=64, per_class=1)
    >>> model.optimizer.learning_rate = 1e-4
    >>> model.fit(kerasdml.data.images(all_images, all_labels, size=224, batches=both))

    Source: Qi et al., "Low-Shot Learning with Imprinted Weights", CVPR 2018,
    https://arxiv.org/abs/1712.07136, where training goes on at a rate of 1e-4, which
    with a single example does not help; on features that are not trained it takes ten
    (`zoo/studies/imprinting.py`). Its softmax has a trained scale; of the losses here
    the scale is an argument.
    """
    proxy_losses = _proxy_losses(model.loss)
    embeddings, labels = embed(model, data, batch_size, steps)
    if mode != "append":
        for loss in proxy_losses:
            loss.proxies.imprint(labels, embeddings, mode)
        return
    loss = _grown(model.loss, labels, embeddings)
    config = model.get_compile_config()
    del config["loss"]
    model.compile(**keras.saving.deserialize_keras_object(config), loss=loss)


def _proxy_losses(loss):
    """Returns the parts of a loss that have proxies to imprint."""
    parts = loss.parts if isinstance(loss, Sum) else [loss]
    found = [part for part in parts if _has_one_proxy_a_class(part)]
    others = [
        part
        for part in parts
        if getattr(part, "num_classes", None) is not None and part not in found
    ]
    if others or not found:
        names = ", ".join(type(part).__name__ for part in others or parts)
        raise ValueError(
            "`model` must be compiled with a loss that has one proxy a class, or a sum "
            "of such and of losses that keep nothing of each class. "
            f"Received: {names}."
        )
    return found


def _has_one_proxy_a_class(loss):
    return (
        isinstance(loss, ProxyLoss)
        and loss.proxies.per_class == 1
        and loss.proxies.num_classes == loss.num_classes
    )


def _grown(loss, labels, embeddings):
    """Returns a loss with the proxies of further classes, and the state of `loss`."""
    if isinstance(loss, Sum):
        parts = [_grown(part, labels, embeddings) for part in loss.losses]
        return Sum.from_config({**loss.get_config(), "losses": parts})
    if not isinstance(loss, ProxyLoss):
        return loss
    proxies = loss.proxies.imprint(labels, embeddings, "append")
    config = {**loss.get_config(), "num_classes": proxies.num_classes}
    grown = type(loss).from_config(config)
    grown.build(embeddings.shape[1])
    for old, new in zip(loss.layers, grown.layers, strict=True):
        state = {}
        (proxies if old is loss.proxies else old).save_own_variables(state)
        new.load_own_variables(state)
    return grown
