"""Makes TensorFlow Addons importable beside TensorFlow 2.20 and Keras 3.

It knows only Keras 2, which lives on as `tf_keras`, and looks for one module of it by
the name that Keras 2 had in its last release.
"""

import importlib
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

sys.modules["keras.src.engine"] = importlib.import_module("tf_keras.src.engine")
sys.modules["keras.src.engine.keras_tensor"] = importlib.import_module(
    "tf_keras.src.engine.keras_tensor"
)
