import keras
import numpy as np
import pytest

from kerasdml.layers import Scheduled

HALVED = keras.optimizers.schedules.ExponentialDecay(8.0, 2, 0.25)  # 0.5 a step


def test_follows_the_steps_of_training():
    layer = Scheduled(schedule=HALVED)
    layer.build(5)
    np.testing.assert_allclose(layer.now(training=True), 8.0)
    np.testing.assert_allclose(layer.now(training=False), 4.0)
    np.testing.assert_allclose(layer.now(training=True), 4.0)
    np.testing.assert_allclose(layer.now(training=True), 2.0)
    assert layer.trainable_weights == [] and int(layer.steps) == 3


def test_a_number_stays():
    layer = Scheduled(schedule=5)
    layer.build(5)
    assert [layer.now(training=True) for _ in range(2)] == [5, 5]


def test_config_round_trip():
    twin = keras.layers.deserialize(keras.layers.serialize(Scheduled(schedule=HALVED)))
    assert twin.schedule.get_config() == HALVED.get_config()


@pytest.mark.parametrize("schedule", [-1, "fast", None])
def test_rejects_what_is_no_schedule(schedule):
    with pytest.raises(ValueError, match="`schedule` must be .* Received: schedule="):
        Scheduled(schedule=schedule)
