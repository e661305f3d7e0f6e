"""Two-stage hard-sample generation: triplets made harder than those of the data.

Claim: a triplet loss that sees made triplets too, of stretched pairs and of negatives
that are closer than them, embeds unseen classes better than on the data's alone.
Tested with semi-hard triplets, `alpha` and `beta` as they are by default.

What was found: yes, with every seed.
"""

import keras

import kerasdml
from kerasdml import losses
from studies import common

DATA = "flowers"
STEPS = 600
ARGUMENTS = {
    "warmup_steps": 200,
    "pair_units": [256],
    "negative_units": [256, 256],
    "discriminator_units": [256],
}


def network(data):
    """A hidden layer, whose outputs are the features, and the embedding."""
    return keras.Sequential(
        [
            keras.Input(data.seen.shape[1:]),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(common.DIM, name="embedding"),
            kerasdml.layers.L2Normalization(),
        ]
    )


def measured(generates):
    """Returns the function of a run, with made triplets or without."""

    def measure(data, seed):
        embedder = network(data)
        model = kerasdml.MetricModel(embedder)
        if generates:
            model = kerasdml.models.HardSampleGeneration(
                embedder, data.classes, seed=seed, **ARGUMENTS
            )
        loss = losses.Triplet(negatives="semi_hard")
        model.compile(keras.optimizers.Adam(1e-3), loss=loss)
        logs = model.fit(
            data.batches(seed), steps_per_epoch=STEPS // 3, epochs=3, verbose=0
        ).history
        last = {name: logs[name][-1] for name in ("metric_loss", "rho") if generates}
        return data.evaluate(embedder) | last

    return measure


RUNS = {
    "Triplet, semi-hard": measured(generates=False),
    "Triplet, semi-hard, with generation": measured(generates=True),
}
