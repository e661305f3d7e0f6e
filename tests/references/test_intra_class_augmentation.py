import keras
import numpy as np
import pytest
from keras import ops

from kerasdml import MetricModel, callbacks, losses
from kerasdml.references import IntraClassAugmentation, NeighborCorrection
from tests.checkpoints import assert_interruption_changes_nothing
from tests.conftest import value_and_gradient
from tests.references.batches import called, state, units


def source_of(num_classes=2, dim=1, **arguments):
    arguments = {"correction": None, "seed": 0} | arguments
    source = IntraClassAugmentation(num_classes=num_classes, **arguments)
    source.build(dim)
    return source


def known(source, means, variances, counts):
    for name, value in ("means", means), ("variances", variances), ("counts", counts):
        getattr(source, name).assign(value)


def moments(source):
    found = source.means, source.variances, source.counts
    return [ops.convert_to_numpy(x)[0] for x in found]


def test_learns_means_and_variances():
    source = source_of()
    source.update(np.array([[1.0], [3], [7]]), np.array([0, 0, -1]))
    np.testing.assert_array_equal(np.concatenate(moments(source)[:2]), [2, 1])
    np.testing.assert_array_equal(ops.convert_to_numpy(source.deviations), [[1], [0]])


@pytest.mark.parametrize("momentum, mean, variance", [(0.2, 1.6, 1.64), (1, 1, 2)])
def test_merges_with_what_is_known(momentum, mean, variance):
    # Two embeddings of mean 0 and variance 1, then two of mean 2 and variance 1: with
    # momentum 1 the moments of {-1, 1, 1, 3}; with 0.2 the new ones weigh 0.8.
    source = source_of(momentum=momentum)
    known(source, [[0.0], [0.0]], [[1.0], [0.0]], [2, 0])
    source.update(np.array([[1.0], [3]]), np.array([0, 0]))
    found = moments(source)
    np.testing.assert_allclose([*found[0], *found[1]], [mean, variance], rtol=1e-6)
    assert found[2] == 4


def test_a_class_of_one_keeps_its_variance_and_moves_its_mean():
    source = source_of()
    known(source, [[0.0], [0.0]], [[3.0], [0.0]], [2, 0])
    source.update(np.array([[5.0], [1], [2]]), np.array([0, 1, 1]))
    mean, variance, count = moments(source)
    np.testing.assert_allclose([mean[0], variance[0], count], [4, 3, 3], rtol=1e-6)


@pytest.mark.parametrize(
    "legacy, widths", [(False, [0.01] * 3), (True, [0.01, 0.1, 0.316])]
)
def test_copies_are_drawn_as_wide_as_the_class(legacy, widths):
    source = source_of(dim=2000, copies=3, strength=1.0, legacy_sqrt=legacy)
    source.deviations.assign(np.full((2, 2000), 0.01))
    found = called(source, np.ones((4, 2000)), [0, 0, 1, 1])
    drawn = found.embeddings.reshape(3, 4, 2000) - 1
    np.testing.assert_allclose(drawn.std(axis=(1, 2)), widths, rtol=0.05)
    assert (np.abs(drawn.mean(axis=(1, 2))) < 4 * np.array(widths) / 8000**0.5).all()
    np.testing.assert_array_equal(found.copy_of, [0, 1, 2, 3] * 3)


def test_strength_is_a_share_of_the_variance():
    source = source_of(dim=8000, copies=1, strength=0.5)
    source.deviations.assign(np.full((2, 8000), 2.0))
    source.fade.assign(0.5)
    drawn = called(source, np.zeros((1, 8000)), [0]).embeddings
    np.testing.assert_allclose(drawn.var(), 0.5 * 0.5 * 4, rtol=0.06)
    source.fade.assign(0.0)
    np.testing.assert_array_equal(called(source, np.ones((1, 8000)), [0]).embeddings, 1)


def test_classes_of_which_nothing_is_known_have_no_copies():
    source = source_of(num_classes=3, copies=2)
    assert (called(source, units(3, 1), [0, 1, -1]).labels == -1).all()
    source.update(np.array([[1.0], [2], [5]]), np.array([0, 0, 1]))
    found = called(source, units(4, 1), [0, 1, 2, -1]).labels
    np.testing.assert_array_equal(found, [0, -1, -1, -1] * 2)


def in_training(loss, labels, x):
    """Value and gradient of a loss in a step of training."""
    from kerasdml.step import step

    def value(x):
        with step.of({}, training=True):
            return loss(labels, x)

    return value_and_gradient(value, np.asarray(x, "float32"))


def test_an_anchor_has_no_pairs_with_its_own_copies():
    # Copies as wide as 0: (1, 0) and (0.6, 0.8) are alike by 0.6, each with the other
    # and with the other's copy, and pay 0.8 - 0.6 for each of them.
    source = source_of(dim=2, copies=1, strength=0.0)
    source.deviations.assign(np.ones((2, 2)))
    loss = losses.Contrastive(references=[source], positive_margin=0.8, margin=0.5)
    loss.build(2)
    value, _ = in_training(loss, np.array([0, 0]), [[1, 0], [0.6, 0.8]])
    np.testing.assert_allclose(value, 0.4, rtol=1e-5)


def test_the_gradient_goes_through_the_copies():
    source = source_of(dim=2, copies=1, strength=0.0)
    source.deviations.assign([[0.0, 0.0], [1.0, 1.0]])
    labels, x = np.array([0, 0, 1]), [[1, 0], [0.8, 0.6], [0.6, 0.8]]
    gradients = []
    for references in [], [source]:
        loss = losses.Contrastive(references=references, reduction="sum", margin=0.0)
        loss.build(2)
        gradients.append(in_training(loss, labels, x)[1])
    assert np.abs(gradients[1] - gradients[0])[2].max() > 0.1


@pytest.mark.parametrize("size, corrects", [(40, True), (41, False)])
def test_corrects_where_classes_are_small(size, corrects):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], size)
    x = rng.normal(size=(3 * size, 2)) * (1 + labels[:, None])
    found = []
    for correction in "auto", None, NeighborCorrection():
        source = source_of(3, 2, correction=correction)
        source.update(x, labels)
        found.append(ops.convert_to_numpy(source.deviations))
    np.testing.assert_array_equal(found[0], found[2 if corrects else 1])


def make_model():
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])
    source = IntraClassAugmentation(num_classes=3, copies=2, seed=5)
    model = MetricModel(embedder, ks=(1,))
    model.compile("adam", loss=losses.MultiSimilarity(references=[source]))
    source.update(units(12, 6), np.repeat([0, 1, 2], 4))
    return model


def training_batch(step):
    rng = np.random.default_rng(step)
    return rng.normal(size=(9, 4)).astype("float32"), rng.integers(0, 3, 9)


def test_an_interruption_changes_nothing():
    assert_interruption_changes_nothing(make_model, training_batch)


def test_evaluation_is_the_plain_loss_and_changes_nothing():
    model, (x, labels) = make_model(), training_batch(0)
    before = state(model.attached)
    plain = losses.MultiSimilarity()(labels, model.embedder(x))
    found = model.evaluate(x, labels, batch_size=9, loss=True, verbose=0, return_dict=1)
    np.testing.assert_allclose(found["loss"], plain, rtol=1e-5)
    for old, new in zip(before, state(model.attached), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"copies": -1}, "`copies` must be an integer of at least 0"),
        ({"strength": -1}, "`strength` must be at least 0"),
        ({"momentum": 2}, r"`momentum` in \[0, 1\]"),
        ({"correction": "always"}, "`correction` must be 'auto', None or a"),
    ],
)
def test_rejects_what_it_cannot_do(bad, message):
    with pytest.raises(ValueError, match=message):
        IntraClassAugmentation(num_classes=2, **bad)


@pytest.mark.parametrize(
    "x, labels, message",
    [
        ([[1.0], [2]], [0, 1], "needs a class with two embeddings or more"),
        ([[1.0], [2]], [0, 2], r"Labels must be 0 … 1 for `num_classes=2`"),
        ([[1.0], [np.nan]], [0, 0], "`embeddings` must be finite and of shape"),
        ([[1.0, 2]], [0], r"of shape \(1, 1\), one for each label. Received: shape"),
    ],
)
def test_rejects_what_it_cannot_learn_from(x, labels, message):
    with pytest.raises(ValueError, match=message):
        source_of().update(np.array(x), np.array(labels))


# --- the callback ---


def trained(epochs, initial_epoch=0, model=None, stop_before=None, **arguments):
    """The model, and in each epoch the fade and the embeddings learnt from."""
    model = model or make_model()
    source, seen = model.loss.references[0], []
    x = np.concatenate([training_batch(i)[0] for i in range(2)])
    labels = np.arange(18) % 3

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            count = int(ops.convert_to_numpy(source.counts)[0])
            seen.append((round(float(source.fade), 2), count))

        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch + 1 == stop_before

    statistics = callbacks.IntraClassStatistics(source, (x, labels), **arguments)
    model.fit(
        x,
        labels,
        batch_size=18,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
        callbacks=[statistics, Watch()],
    )
    return model, seen


def test_learns_every_so_many_epochs_and_fades():
    # 4 embeddings of class 0 were known before, and 6 are in the data.
    _, seen = trained(10, start_epoch=1, every_n_epochs=4)
    counts = [4, 10, 10, 10, 10, 16, 16, 16, 16, 22]
    fades = [1.0] * 4 + [0.9] * 2 + [0.75] * 2 + [0.6] * 2
    assert seen == list(zip(fades, counts, strict=True))


def test_goes_on_where_it_was(tmp_path):
    when = {"start_epoch": 1, "every_n_epochs": 2}
    whole, _ = trained(4, **when)
    part, _ = trained(4, stop_before=2, **when)
    part.save(tmp_path / "half.keras")
    again = keras.saving.load_model(tmp_path / "half.keras")
    ended, _ = trained(4, 2, model=again, **when)
    for one, other in zip(state(whole), state(ended), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rejects_what_it_cannot_follow():
    source = IntraClassAugmentation(num_classes=3)
    with pytest.raises(ValueError, match="needs the training set"):
        callbacks.IntraClassStatistics(source, None)
    with pytest.raises(ValueError, match="`start_epoch` must be at least 0"):
        callbacks.IntraClassStatistics(source, (), start_epoch=-1)
    with pytest.raises(ValueError, match="`schedule` must be 'steps', None or a func"):
        callbacks.IntraClassStatistics(source, (), schedule="cosine")
    with pytest.raises(ValueError, match="Training ends before statistics are learnt"):
        trained(2)
    statistics = callbacks.IntraClassStatistics(source, (), start_epoch=0)
    with pytest.raises(ValueError, match="`source` must be among the `references`"):
        make_model().fit(*training_batch(0), verbose=0, callbacks=[statistics])
