import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses
from tests.conftest import value_and_gradient

LABELS = np.repeat(np.arange(4), 3)
EMBEDDINGS = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
SIXTEEN = np.repeat(np.arange(4), 4)


def hybrid(weight=0.03, **arguments):
    keras.utils.set_random_seed(0)
    return losses.MultiSimilarity(**arguments) + weight * losses.ProxyAnchor(
        num_classes=4
    )


def test_is_the_weighted_sum_in_value_and_gradient():
    loss = hybrid()
    loss.build(5)
    pairs, proxies = loss.losses
    value, gradient = value_and_gradient(lambda e: loss(LABELS, e), EMBEDDINGS)
    first, one = value_and_gradient(lambda e: pairs(LABELS, e), EMBEDDINGS)
    second, other = value_and_gradient(lambda e: proxies(LABELS, e), EMBEDDINGS)
    np.testing.assert_allclose(value, first + 0.03 * second, rtol=1e-6)
    np.testing.assert_allclose(gradient, one + 0.03 * other, rtol=1e-4, atol=1e-7)


def test_a_part_of_weight_0_gives_its_proxies_no_gradient():
    loss = hybrid(weight=0.0)
    loss.build(5)
    alone = losses.MultiSimilarity()(LABELS, EMBEDDINGS)
    np.testing.assert_allclose(loss(LABELS, EMBEDDINGS), alone, rtol=1e-6)


def test_sums_of_sums_are_flat():
    a, b, c = (losses.Contrastive(name=name) for name in "abc")
    loss = 0.5 * (a + 2.0 * b) + c
    assert [part.name for part in loss.losses] == ["a", "b", "c"]
    assert loss.weights == [0.5, 1.0, 1.0]


def test_a_sum_of_what_costs_an_anchor_costs_an_anchor():
    a, b = losses.Contrastive(), losses.MultiSimilarity()
    loss = losses.Sum(losses=[a, b], weights=[1.0, 2.0], reduction="none")
    each = [x.costs(LABELS, keras.ops.convert_to_tensor(EMBEDDINGS)) for x in (a, b)]
    np.testing.assert_allclose(
        loss(LABELS, EMBEDDINGS), each[0] + 2.0 * each[1], rtol=1e-6
    )


def test_takes_the_fields_and_layers_of_its_parts_each_once():
    class Needy(losses.Contrastive):
        fields = ("index", "modality")

    class AlsoNeedy(losses.Contrastive):
        fields = ("index",)

    assert (Needy() + AlsoNeedy()).fields == ("index", "modality")
    proxy = losses.ArcFace(num_classes=4)
    assert (proxy + losses.Contrastive()).layers == [proxy.proxies]


def test_each_part_is_in_the_logs_by_its_name_and_trains_and_restores(tmp_path):
    loss = hybrid(name="pairs")
    embedder = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model = MetricModel(embedder, ks=(1,))
    model.compile("adam", loss=loss)
    before = loss.layers[0].get_weights()[0]
    x = np.random.default_rng(1).normal(size=(16, 5)).astype("float32")
    logs = model.fit(x, SIXTEEN, epochs=2, batch_size=16, verbose=0).history
    name = loss.losses[1].name
    np.testing.assert_allclose(
        logs["loss"], np.add(logs["pairs"], 0.03 * np.array(logs[name])), rtol=1e-5
    )
    assert np.abs(loss.layers[0].get_weights()[0] - before).max() > 1e-5
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.evaluate(x, SIXTEEN, loss=True, verbose=0)
    np.testing.assert_allclose(
        twin.evaluate(x, SIXTEEN, loss=True, verbose=0), expected, rtol=1e-5
    )


def test_the_parts_of_an_earlier_loss_leave_the_logs():
    embedder = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model = MetricModel(embedder, ks=(1,))
    model.compile("adam", loss=hybrid())
    model.compile("adam", loss=losses.Contrastive())
    logs = model.fit(EMBEDDINGS, LABELS, verbose=0).history
    assert list(logs) == ["loss"]


def test_sample_weights_need_parts_that_can_be_weighted():
    loss = hybrid()
    loss.build(5)
    with pytest.raises(ValueError, match="Sum has no cost of its own"):
        loss(LABELS, EMBEDDINGS, np.ones(12, "float32"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"losses": []}, "must be one or more losses"),
        ({"losses": [keras.losses.MeanSquaredError()]}, "must be one or more losses"),
        (
            {"losses": [losses.Contrastive()], "weights": [1.0, 2.0]},
            "Received: 2 weights for 1 losses",
        ),
        (
            {"losses": [losses.Contrastive(name="x"), losses.Triplet(name="x")]},
            r"must have different names.* Received: \['x', 'x'\]",
        ),
        (
            {"losses": [losses.Contrastive(reduction="sum")]},
            r"must have the default reduction.* Received: \['sum'\]",
        ),
    ],
)
def test_rejects_what_is_no_sum_of_losses(arguments, message):
    with pytest.raises(ValueError, match=message):
        losses.Sum(**arguments)


def test_adds_only_losses():
    with pytest.raises(TypeError):
        losses.Contrastive() + 1.0
    with pytest.raises(TypeError):
        losses.Contrastive() * "2"
