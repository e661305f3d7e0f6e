import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasdml.callbacks import Neighbours
from kerasdml.callbacks.neighbours import picture_neighbours
from kerasdml.pictures.neighbours import as_png
from tests.pictures.test_neighbours import GREEN, RED, frames, pixels, texts


def test_frames_right_neighbours_green_and_wrong_ones_red():
    # On a line: 0 (A), 1 (B), 3 (A), 7 (A). From 0 the order is B A A, from 3 B A A.
    embeddings = np.array([[0.0], [1.0], [3.0], [7.0]])
    figure = picture_neighbours(
        embeddings,
        np.array([0, 1, 0, 0]),
        np.zeros((4, 5, 5, 3), "uint8"),
        ["ant", "bee"],
        queries=[0, 2],
        k=3,
        similarity="euclidean",
        heading="epoch 1: ",
    )
    assert frames(figure) == ["WRR", "WRR"]
    assert texts(figure)[:4] == ["ant", "bee\n-1.00", "ant\n-3.00", "ant\n-7.00"]
    assert "epoch 1: 4 of 6 neighbours right" in [t.get_text() for t in figure.texts]
    shown = pixels(as_png(figure)).reshape(-1, 3)
    for colour in (GREEN, RED):
        assert (shown == colour).all(axis=1).any()


def test_a_query_is_not_its_own_neighbour_though_a_copy_is():
    embeddings = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    images = np.zeros((3, 2, 2), "uint8")
    figure = picture_neighbours(embeddings, [0, 1, 0], images, None, [1], k=1)
    assert texts(figure) == ["1", "0\n1.00"]


def test_long_names_lose_their_middle():
    labels = ["of_the_same_alphabet/1"] * 2
    images = np.zeros((2, 2, 2), "uint8")
    figure = picture_neighbours(np.eye(2), labels, images, None, [0], k=1)
    assert texts(figure)[0] == "of_the_…abet/1"


def test_writes_the_picture_and_shows_it_in_tensorboard(plain_model, images, tmp_path):
    path = tmp_path / "new" / "neighbours.png"
    callback = Neighbours(path, images, queries=2, k=3, log_dir=tmp_path / "logs")
    plain_model.fit(*images, epochs=2, verbose=0, callbacks=[callback])
    log = EventAccumulator(str(tmp_path / "logs")).Reload()
    shown = log.Images("neighbours")
    assert [image.step for image in shown] == [0, 1]
    assert shown[-1].encoded_image_string == path.read_bytes()
    height, width, _ = pixels(path.read_bytes()).shape
    assert (shown[-1].width, shown[-1].height) == (width, height)


def test_keeps_the_picture_of_every_epoch_if_asked(plain_model, images, tmp_path):
    callback = Neighbours(
        tmp_path / "{epoch:02d}.png", images, queries=1, k=1, every_n_epochs=2
    )
    plain_model.fit(*images, epochs=5, verbose=0, callbacks=[callback])
    # The last because training ended there.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["02.png", "04.png", "05.png"]


def test_draws_at_the_end_of_every_training(plain_model, images, tmp_path):
    callback = Neighbours(tmp_path / "a.png", images, queries=1, k=1, every_n_epochs=9)
    for _ in range(2):
        plain_model.fit(*images, verbose=0, callbacks=[callback])
        (tmp_path / "a.png").unlink()  # fails where there is none


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"k": 24}, "`k` must be smaller than the number of examples.* k=24 for 24"),
        ({"k": 0}, "`k` must be at least 1"),
        ({"queries": 0}, "`queries` must be at least 1"),
        ({"every_n_epochs": 0}, "`every_n_epochs` must be at least 1"),
        ({"similarity": "l1"}, "`similarity` must be one of"),
    ],
)
def test_refuses_before_training_starts(images, bad, message):
    with pytest.raises(ValueError, match=message):
        Neighbours("neighbours.png", images, **bad)


@pytest.mark.parametrize("k", [0, 3])
def test_refuses_more_neighbours_than_there_are(k):
    with pytest.raises(ValueError, match="`k` must be from 1 to 2.* Received: k="):
        picture_neighbours(np.eye(3), [0, 0, 0], np.zeros((3, 2, 2)), None, [0], k=k)
