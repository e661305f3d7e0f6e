"""Weight imprinting (Qi et al., CVPR 2018): new classes from n examples each.

Claim: proxies imprinted with the mean embedding of 1 to 20 examples know new classes at
once, where random ones do not, and are a better start for training on. Tested on old
and new classes together: `novel_n` is the share of pictures of new classes whose
nearest proxy, among all, is theirs, `all_n` that of pictures of all classes. A quarter
of the old classes' pictures and all but 20 of each new class's are kept for that.
Training on is on batches balanced over all classes, by gradient descent at a rate of
0.01, chosen among that, 0.001, and Adam at 0.0001 and 0.0003, on training classes.
"""

import keras
import numpy as np

import kerasdml
from kerasdml import losses, ops
from studies import common

DATA = "flowers"
STEPS = 600
STEPS_ON = 300
EXAMPLES = 1, 2, 5, 10, 20
BASE = {}  # weights that all runs of a seed begin with


def split(labels, count, seed):
    """Returns rows: some of each class, in random order, and all others.

    Args:
        labels: `(n,)` integers.
        count: Function of the number of a class's examples to how many are taken.
        seed: Of the order.
    """
    rows = np.random.default_rng(seed).permutation(len(labels))
    taken, left = [], []
    for label in np.unique(labels):
        own = rows[labels[rows] == label]
        taken.append(own[: count(len(own))])
        left.append(own[count(len(own)) :])
    return taken, np.concatenate(left)


def measured(random, train_on):
    """Returns the function of a run, whose new proxies are random or imprinted."""

    def measure(data, seed):
        taken, old_left = split(data.labels, lambda n: n - n // 4, seed)
        old = np.concatenate(taken)
        examples, new_left = split(data.unseen_labels, lambda n: 20, seed)
        new = np.unique(data.unseen_labels, return_inverse=True)[1] + data.classes
        x = np.concatenate([data.unseen[new_left], data.seen[old_left]])
        y = np.concatenate([new[new_left], data.labels[old_left]])
        found = {}
        for n in EXAMPLES:
            rows = np.concatenate([own[:n] for own in examples])
            model = copy_of_base(data, old, seed)
            kerasdml.models.imprint(model, (data.unseen[rows], new[rows]))
            points = model.loss.proxies.points
            values = np.array(ops.normalize(points))
            if random:
                rng = np.random.default_rng(seed)
                values[data.classes :] = rng.normal(size=values[data.classes :].shape)
            points.assign(ops.normalize(values))
            if train_on:
                together = (
                    np.concatenate([data.seen[old], data.unseen[rows]]),
                    np.concatenate([data.labels[old], new[rows]]),
                )
                optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
                model.compile(optimizer, loss=model.loss)
                train(model, *together, seed, STEPS_ON)
            z = model.embedder.predict(x, batch_size=512, verbose=0)
            right = np.argmax(ops.similarities(z, np.array(points)), axis=1) == y
            found[f"novel_{n}"] = right[: len(new_left)].mean()
            found[f"all_{n}"] = right.mean()
        return found

    return measure


def train(model, x, y, seed, steps):
    batches = kerasdml.data.balanced_batches(y, 32, per_class=1, seed=seed)
    epochs = -(-steps // batches.steps)
    rows = np.concatenate([batches(epoch) for epoch in range(epochs)])[:steps].ravel()
    model.fit(x[rows], y[rows], batch_size=32, shuffle=False, verbose=0)


def compiled(data):
    model = kerasdml.MetricModel(common.head(data))
    loss = losses.NormalizedSoftmax(num_classes=data.classes, temperature=0.1)
    model.compile(keras.optimizers.Adam(1e-3), loss=loss)
    return model


def copy_of_base(data, rows, seed):
    """Returns a model trained on the old classes, once for all runs of a seed."""
    model = compiled(data)
    if (data.name, seed) not in BASE:
        train(model, data.seen[rows], data.labels[rows], seed, STEPS)
        BASE[data.name, seed] = model.get_weights()
    model.set_weights(BASE[data.name, seed])
    return model


RUNS = {
    "random proxies": measured(random=True, train_on=False),
    "imprinted": measured(random=False, train_on=False),
    "random proxies, trained on": measured(random=True, train_on=True),
    "imprinted, trained on": measured(random=False, train_on=True),
}
