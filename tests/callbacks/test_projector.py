import io
import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing import (
    data_provider,
    plugin_event_multiplexer,
)
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector import projector_plugin
from werkzeug.test import Client

from kerasdml.callbacks import Projector
from kerasdml.callbacks.projector import sprite, write_projection

NAMES = ["ant", "bee\tor\nwasp", "été 猫", "$cat"]


class TensorBoard:
    """The projector's server, asked as its page in the browser asks it."""

    def __init__(self, log_dir):
        events = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(
            str(log_dir)
        )
        provider = data_provider.MultiplexerDataProvider(events, str(log_dir))
        context = base_plugin.TBContext(logdir=str(log_dir), data_provider=provider)
        self.routes = projector_plugin.ProjectorPlugin(context).get_plugin_apps()

    def get(self, route, **query):
        reply = Client(self.routes[route]).get(query_string=query)
        assert reply.status_code == 200, reply.text
        return reply

    def points(self, name):
        config = json.loads(self.get("/info", run=".").text)
        (entry,) = (e for e in config["embeddings"] if e["tensorName"] == name)
        values = self.get("/tensor", run=".", name=name).data
        return np.frombuffer(values, "float32").reshape(entry["tensorShape"]), entry

    def metadata(self, name):
        lines = self.get("/metadata", run=".", name=name).text.splitlines()
        return [line.split("\t") for line in lines]

    def sprite(self, name):
        png = self.get("/sprite_image", run=".", name=name).data
        return np.asarray(Image.open(io.BytesIO(png)))


def fit(model, images, callback, epochs=1):
    model.fit(*images, epochs=epochs, verbose=0, callbacks=[callback])


def test_tensorboard_opens_it(plain_model, images, tmp_path):
    fit(plain_model, images, Projector(tmp_path, images, NAMES))
    board = TensorBoard(tmp_path)
    assert json.loads(board.get("/runs").text) == ["."]
    points, entry = board.points("embeddings")
    np.testing.assert_array_equal(points, plain_model.predict(images[0], verbose=0))
    header, *rows = board.metadata("embeddings")
    assert header == ["class", "example"]
    clean = ["ant", "bee or wasp", "été 猫", "$cat"]
    assert rows == [[clean[label], str(i)] for i, label in enumerate(images[1])]
    # 24 images of 8 rows and 6 columns lie on a grid of 5 by 5.
    sheet = board.sprite("embeddings")
    assert entry["sprite"]["singleImageDim"] == [6, 8]
    assert sheet.shape == (40, 30, 3)
    np.testing.assert_array_equal(sheet[8:16, 6:12], np.round(images[0][6]))


def test_projections_share_a_directory_and_replace_their_own(images, tmp_path):
    small = images[0].astype("uint8")
    names = [str(label) for label in images[1]]
    for offset, name in enumerate(["train", "test", "train"]):
        write_projection(tmp_path, images[0][:, 0, :, 0] + offset, names, small, name)
    board = TensorBoard(tmp_path)
    for offset, name in [(1, "test"), (2, "train")]:
        points, _ = board.points(name)
        np.testing.assert_array_equal(points, images[0][:, 0, :, 0] + offset)


def test_labels_stand_for_names_that_are_missing(plain_model, images, tmp_path):
    data = images[0], np.array([b"ant", b"bee"], object)[images[1] % 2]
    fit(plain_model, images, Projector(tmp_path, data, name="test", max_examples=7))
    rows = TensorBoard(tmp_path).metadata("test")[1:]
    assert [name for name, _ in rows] == ["ant"] * 6 + ["bee"]


@pytest.mark.parametrize("every, written", [(None, 1), (1, 4), (2, 2)])
def test_writes_at_the_end_and_after_every_so_many_epochs(
    plain_model, images, tmp_path, monkeypatch, every, written
):
    calls = []
    monkeypatch.setattr(Projector, "_write", lambda self: calls.append(self))
    fit(
        plain_model, images, Projector(tmp_path, images, every_n_epochs=every), epochs=3
    )
    assert len(calls) == written


def test_a_sprite_is_never_larger_than_tensorboard_can_draw():
    # 100 images of 1000 pixels would be 10,000 a side; every second pixel is kept.
    images = np.zeros((100, 10, 1000, 3), "uint8")
    images[..., ::2, :] = 9
    sheet, size = sprite(images)
    assert size == (5, 500) and sheet.shape == (50, 5000, 3)
    assert (sheet == 9).all()


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"name": "a/b"}, "`name` must be a plain file name. Received: name='a/b'"),
        ({"name": ""}, "`name` must be a plain file name"),
        ({"max_examples": 0}, "`max_examples` must be at least 1"),
        ({"every_n_epochs": 0}, "`every_n_epochs` must be at least 1"),
        ({"thumbnail": 0}, "`thumbnail` must be at least 1"),
    ],
)
def test_refuses_before_training_starts(images, tmp_path, bad, message):
    with pytest.raises(ValueError, match=message):
        Projector(tmp_path, images, **bad)
