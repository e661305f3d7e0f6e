import keras
import numpy as np
import pytest

from kerasdml.models.embedding import embed

IMAGES = np.arange(7 * 3, dtype="float32").reshape(7, 3)
LABELS = np.array([3, 2**53 + 1, 2**53, 0, 0, 3, 5])


class Batches(keras.utils.PyDataset):
    def __init__(self, endless=False):
        super().__init__()
        self.endless = endless

    @property
    def num_batches(self):
        return None if self.endless else 3

    def __getitem__(self, i):
        i = i % 3
        return IMAGES[3 * i : 3 * i + 3], LABELS[3 * i : 3 * i + 3]


def dataset():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(3)


def generator():
    yield from list(Batches())


@pytest.fixture
def doubling():
    """A model whose embedding is twice its input."""
    x = keras.Input((3,))
    return keras.Model(x, keras.layers.Rescaling(2.0)(x))


@pytest.mark.parametrize(
    "data, options",
    [
        pytest.param(lambda: (IMAGES, LABELS), {"batch_size": 2}, id="arrays"),
        pytest.param(lambda: (IMAGES, {"label": LABELS}), {}, id="fields"),
        pytest.param(lambda: (IMAGES, LABELS, np.ones(7)), {}, id="sample weights"),
        pytest.param(dataset, {}, id="tf.data"),
        pytest.param(Batches, {}, id="PyDataset"),
        pytest.param(lambda: Batches(endless=True), {"steps": 3}, id="endless"),
        pytest.param(generator, {"steps": 3}, id="generator"),
        pytest.param(lambda: list(Batches()), {}, id="list of batches"),
    ],
)
def test_every_form_of_data_gives_all_rows_in_order(doubling, data, options):
    embeddings, labels = embed(doubling, data(), **options)
    np.testing.assert_array_equal(embeddings, 2 * IMAGES)
    assert embeddings.dtype == "float32"
    # Labels that differ by 1 above 2^53 would meet even in float64.
    np.testing.assert_array_equal(labels, LABELS)


def test_steps_stop_data_that_has_an_end(doubling):
    embeddings, labels = embed(doubling, (IMAGES, LABELS), batch_size=2, steps=2)
    assert len(embeddings) == len(labels) == 4


def test_keeps_labels_that_are_strings(doubling):
    names = np.array(["ant", "bee", "ant", "cat", "bee", "ant", "cat"])
    np.testing.assert_array_equal(embed(doubling, (IMAGES, names))[1], names)


def test_half_precision_comes_out_as_float32():
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Rescaling(2.0, dtype="bfloat16")(x))
    assert embed(model, (IMAGES, LABELS))[0].dtype == "float32"


def test_shows_a_progress_bar_only_when_asked(doubling, capsys):
    embed(doubling, (IMAGES, LABELS), batch_size=2)
    assert capsys.readouterr().out == ""
    embed(doubling, (IMAGES, LABELS), batch_size=2, verbose=1)
    assert "4/4" in capsys.readouterr().out


@pytest.mark.parametrize(
    "data", [generator, lambda: Batches(endless=True), lambda: dataset().repeat()]
)
def test_asks_for_steps_where_the_data_has_no_known_end(doubling, data):
    with pytest.raises(ValueError, match="no known end. Pass `steps`"):
        embed(doubling, data())


@pytest.mark.parametrize(
    "data, message",
    [
        (IMAGES, "must be a tuple `.images, labels.`.* Received: ndarray"),
        (
            (IMAGES, LABELS[:5]),
            r"as many labels as images. Received arrays of \[5, 7\]",
        ),
        ((IMAGES,), "must give labels.* Received images only"),
        ([IMAGES], "must give labels"),
        (
            (IMAGES, {"index": LABELS}),
            r"the key 'label'. Received the keys: \['index'\]",
        ),
        ((IMAGES[:0], LABELS[:0]), "at least one batch. Received none"),
    ],
)
def test_refuses_data_without_images_and_labels(doubling, data, message):
    with pytest.raises(ValueError, match=message):
        embed(doubling, data)


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"steps": 0}])
def test_refuses_sizes_below_one(doubling, bad):
    with pytest.raises(ValueError, match="must be at least 1. Received: 0"):
        embed(doubling, (IMAGES, LABELS), **bad)


def test_refuses_a_model_without_one_embedding_an_example():
    x = keras.Input((4, 4, 3))
    images = np.zeros((2, 4, 4, 3), "float32")
    with pytest.raises(ValueError, match=r"one embedding .* shape \(2, 4, 4, 3\)"):
        embed(keras.Model(x, keras.layers.ReLU()(x)), (images, np.arange(2)))
    two = keras.Model(x, [keras.layers.Flatten()(x), keras.layers.ReLU()(x)])
    with pytest.raises(ValueError, match="The model must give one embedding"):
        embed(two, (images, np.arange(2)))
