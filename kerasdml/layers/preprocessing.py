"""Preprocessing inside the model, so that training and serving cannot disagree."""

import keras
from keras import ops

# Per-channel statistics of ImageNet, as `keras.applications` uses them.
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
_TORCH_MEAN_RGB = (0.485, 0.456, 0.406)
_TORCH_DEVIATION_RGB = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class ImageNetPreprocessing(keras.layers.Layer):
    """Brings images of 0 … 255 to the range a pretrained backbone was trained on.

    Args:
        mode: "tf" (-1 … 1), "torch" (0 … 1, then standardised by channel) or "caffe"
            (BGR, minus the mean of each channel), the modes of `keras.applications`.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: If `mode` is none of them.
    """

    def __init__(self, mode="tf", **kwargs):
        super().__init__(**kwargs)
        if mode not in ("tf", "torch", "caffe"):
            raise ValueError(
                f"`mode` must be 'tf', 'torch' or 'caffe'. Received: mode={mode!r}."
            )
        self.mode = mode

    def call(self, images):
        images = ops.cast(images, self.compute_dtype)
        if self.mode == "tf":
            return images / 127.5 - 1.0
        if self.mode == "torch":
            mean = ops.convert_to_tensor(_TORCH_MEAN_RGB, images.dtype)
            deviation = ops.convert_to_tensor(_TORCH_DEVIATION_RGB, images.dtype)
            return (images / 255.0 - mean) / deviation
        mean = ops.convert_to_tensor(_CAFFE_MEAN_BGR, images.dtype)
        return ops.flip(images, axis=-1) - mean

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
