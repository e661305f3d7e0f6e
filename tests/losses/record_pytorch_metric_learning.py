"""Writes what pytorch-metric-learning gives, for the tests that run without it.

python -m tests.losses.record_pytorch_metric_learning
"""

import pathlib

import numpy as np
import pytorch_metric_learning
import torch
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers

from tests.losses import comparisons
from tests.losses import pytorch_metric_learning_cases as cases

FILE = pathlib.Path(__file__).with_name("pytorch_metric_learning_values.json")
NAMES = {
    name: value
    for module in (distances, losses, miners, reducers, regularizers)
    for name, value in vars(module).items()
}


def main():
    version = pytorch_metric_learning.__version__
    comparisons.write(FILE, "pytorch_metric_learning", version, recorded())


def recorded():
    """Returns its value and slope on every batch, of embeddings of any length."""
    return comparisons.recorded(cases.CASES, theirs, [0], [False])


def theirs(case, labels, embeddings):
    """Returns the value of `case` there, and its gradient as `comparisons.ours` does.

    All is float64, so that what is between the two is the rounding of one of them.
    """
    loss = eval(case.theirs, NAMES)
    _, drawn = comparisons.weights(case.loss)
    parameters = _set(loss, drawn)
    x = torch.tensor(embeddings, dtype=torch.float64, requires_grad=True)
    e = torch.nn.functional.normalize(x) if case.normalized else x
    y = torch.tensor(labels)
    mined = [eval(case.miner, NAMES)(e, y)] if case.miner else []
    value = _APPLY.get(case.name, _plainly)(loss, e, y, *mined)
    value.backward()
    gradients = [_rows(name, p.grad).numpy() for name, p in parameters]
    if case.name == "P2SGradLoss":
        gradients = _of_directions(gradients, drawn)
    return value.item(), comparisons.flat([x.grad.numpy(), *gradients])


def _set(loss, drawn):
    parameters = list(loss.named_parameters())
    for (name, parameter), value in zip(parameters, drawn, strict=True):
        value = _rows(name, torch.tensor(value, dtype=torch.float64))
        assert value.shape == parameter.shape
        parameter.data = value.contiguous()
    return parameters


def _rows(name, x):
    """Returns proxies `(c, d)`, which some losses keep as `(d, c)`, or reversely."""
    return x.t() if name in ("W", "fc", "weight") else x


def _of_directions(gradients, drawn):
    """Returns the gradients by points of which unit vectors were made unseen."""
    result = []
    for g, x in zip(gradients, drawn, strict=True):
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
        unit = x / lengths
        along = np.sum(g * unit, axis=1, keepdims=True)
        result.append((g - along * unit) / lengths)
    return result


def _plainly(loss, e, labels, *mined):
    return loss(e, labels, *mined)


def _of_embeddings(loss, e, labels):
    return loss(e)


def _of_instances(loss, e, labels):
    return loss(e, torch.arange(len(e)))


def _of_views(loss, e, labels):
    return loss(*e.split(len(e) // 2))


def _of_two(loss, e, labels):
    first, second = e.split(len(e) // 2)
    return loss(first, ref_emb=second)


def _class_by_class(loss, e, labels):
    order = torch.argsort(labels, stable=True)
    return loss(e[order], labels[order])


_APPLY = {
    "CenterInvariantRegularizer": _of_embeddings,
    "InstanceLoss": _of_instances,
    "LpRegularizer": _of_embeddings,
    "ManifoldLoss": lambda loss, e, labels: loss(e, indices_tuple=labels),
    "RegularFaceRegularizer": _of_embeddings,
    "SelfSupervisedLoss": _of_views,
    "SmoothAPLoss": _class_by_class,
    "SparseCentersRegularizer": _of_embeddings,
    "VICRegLoss": _of_two,
    "ZeroMeanRegularizer": _of_embeddings,
}


if __name__ == "__main__":
    main()
