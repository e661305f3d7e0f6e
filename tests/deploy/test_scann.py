"""A version exported with a ScaNN index is known by its operations."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdml import deploy, index

pytestmark = pytest.mark.scann


def test_the_operations_of_scann_are_seen(tmp_path):
    pytest.importorskip("scann", reason="needs scann (Linux x86-64)")
    embeddings = np.random.default_rng(0).normal(size=(30, 8)).astype("float32")
    servable = tf.Module()
    servable.index = index.Scann.build(embeddings, np.arange(30))

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32)])
    def search(queries):
        scores, positions = servable.index.search_tensors(queries, 3)
        return {"scores": scores, "positions": positions}

    options = tf.saved_model.SaveOptions(
        namespace_whitelist=list(servable.index.op_namespaces)
    )
    home = tmp_path / "birds"
    tf.saved_model.save(servable, str(home / "1"), {"search": search}, options)
    assert deploy.read(home).needs_scann
