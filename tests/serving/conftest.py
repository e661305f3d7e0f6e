"""A tiny SavedModel with the signatures of an exported embedder, and its server."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasdml import serving

# The gallery is five pure colours; an image embeds to its mean colour, unit length.
GALLERY = np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0, 0.6, 0.8]], np.float32
)
IDS = ["rot", "grün", "青", "żółty 🙂", "bleu"]
LABELS = [10, 20, 30, 40, 2**53 + 1]
K = 3


class Colours(tf.Module):
    """What `export.saved_model` writes, at toy size: mean and nearest colours."""

    def __init__(self):
        super().__init__()
        self.gallery = tf.constant(GALLERY)

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 3), tf.float32, "images")])
    def embed(self, images):
        colours = tf.reduce_mean(images, axis=(1, 2))
        return {"embeddings": tf.math.l2_normalize(colours, axis=-1)}

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 3), tf.uint8, "images")])
    def embed_uint8(self, images):
        return self.embed(tf.cast(images, tf.float32))

    def decode(self, data):
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
        return tf.image.resize(image, (4, 4), antialias=True)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def embed_encoded(self, image_bytes):
        spec = tf.TensorSpec((4, 4, 3), tf.float32)
        return self.embed(tf.map_fn(self.decode, image_bytes, fn_output_signature=spec))

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, "embeddings")])
    def search_embeddings(self, embeddings):
        similarities = tf.matmul(embeddings, self.gallery, transpose_b=True)
        scores, positions = tf.math.top_k(similarities, K)
        return {
            "scores": scores,
            "ids": tf.gather(tf.constant(IDS), positions),
            "labels": tf.gather(tf.constant(LABELS, tf.int64), positions),
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def search(self, image_bytes):
        return self.search_embeddings(self.embed_encoded(image_bytes)["embeddings"])

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.string, "image_bytes"),
            tf.TensorSpec((None,), tf.int32, "k"),
        ]
    )
    def search_k(self, image_bytes, k):
        # As in a call that is shared with a search for all.
        with tf.control_dependencies([tf.debugging.assert_less_equal(k, K)]):
            return self.search(image_bytes)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, "x")])
    def half_plus_three(self, x):
        return {"y": x / 2 + 3}

    @tf.function(
        input_signature=[
            tf.TensorSpec((), tf.float32, "scale"),
            tf.TensorSpec((None, 2), tf.int64, "points"),
        ]
    )
    def scaled(self, scale, points):
        return {"size": scale * 2, "scaled": scale * tf.cast(points, tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, "index")])
    def pick(self, index):
        # The graph refuses what the signature allows, or fails for reasons of its own.
        check = tf.debugging.assert_less(index, 5, message="index must be below 5")
        with tf.control_dependencies([check]):
            return {"colour": tf.gather(self.gallery, index)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "text")])
    def echo(self, text):
        return {"text": text, "text_bytes": text}


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """The directory `colours` with the one version 3."""
    path = tmp_path_factory.mktemp("models") / "colours"
    model = Colours()
    names = (
        "embed embed_uint8 embed_encoded search search_k search_embeddings "
        "half_plus_three scaled pick echo"
    )
    signatures = {name: getattr(model, name) for name in names.split()}
    signatures["serving_default"] = model.search
    tf.saved_model.save(model, str(path / "3"), signatures=signatures)
    return path


@pytest.fixture(scope="session")
def server(saved_model):
    with serving.start(saved_model) as running:
        yield running


@pytest.fixture(params=["REST", "gRPC"])
def client(request, server):
    url = server.url if request.param == "REST" else server.grpc_url
    with serving.Client(url, server.name, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def paint():
    """Encodes an image of one colour."""

    def encode(colour, size=(9, 7), kind="PNG"):
        file = io.BytesIO()
        Image.new("RGB", size, colour).save(file, kind)
        return file.getvalue()

    return encode
