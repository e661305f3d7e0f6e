"""The models of TF Serving's documentation.

To write them: python -m tests.serving.half_plus_two PATH
"""

import pathlib
import sys

import tensorflow as tf

NAME = "half_plus_two"
LABELS = {"stable": 1, "canary": 2}

_CONFIG = """\
model_config_list {{
  config {{
    name: "{name}"
    base_path: "{path}"
    model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""


class Model(tf.Module):
    """`x / 2 + more`, and signatures with several inputs and outputs."""

    def __init__(self, more):
        super().__init__()
        self.more = tf.Variable(more)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, "x")])
    def half_plus(self, x):
        return {"y": x / 2 + self.more}

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.string, "tag"),
            tf.TensorSpec((None, 2), tf.int64, "signal"),
            tf.TensorSpec((None, 2, 2), tf.int64, "sensor"),
        ]
    )
    def sensors(self, tag, signal, sensor):
        total = tf.reduce_sum(signal, 1) + tf.reduce_sum(sensor, (1, 2))
        return {"tag": tag, "total": total}

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.string, "picture_bytes"),
            tf.TensorSpec((None,), tf.string, "caption"),
        ]
    )
    def binary(self, picture_bytes, caption):
        return {"picture_bytes": picture_bytes, "caption": caption}


def write_models(path):
    """Writes version 1, `x / 2 + 3`, version 2, `x / 2 + 2`, and a configuration."""
    home = pathlib.Path(path).resolve()
    for version, more in ((1, 3.0), (2, 2.0)):
        write_version(home / NAME / str(version), more)
    config = _CONFIG.format(name=NAME, path=home / NAME)
    (home / "models.config").write_text(config)
    return home


def write_version(path, more):
    model = Model(more)
    signatures = {
        "serving_default": model.half_plus,
        "sensors": model.sensors,
        "binary": model.binary,
    }
    tf.saved_model.save(model, str(path), signatures=signatures)


if __name__ == "__main__":
    write_models(sys.argv[1])
