"""The first requests to a model, which build what is built lazily.

Source: "SavedModel Warmup", https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

import numpy as np
import tensorflow as tf

from kerasdml.serving.errors import ServingError
from kerasdml.serving.model import ServedModel
from kerasdml.serving.protos import PredictionLog
from kerasdml.serving.signature import IMAGES
from kerasdml.serving.tensors import to_array

# Where a SavedModel keeps its own requests, and how many TF Serving takes at most.
REQUESTS = "assets.extra/tf_serving_warmup_requests"
MAX_REQUESTS = 1000


def warm(model: ServedModel):
    """Calls a model with the requests it brings, or each signature with zeros.

    Raises:
        Exception: If one of its own requests fails, or the model itself does. A refusal
            of the zeros is none: the signature may ask for what nobody here knows.
    """
    file = model.path / REQUESTS
    if file.exists():
        for request in _recorded(file):
            _replay(model, request)
        return
    for signature in model.signatures.values():
        try:
            model.predict(signature, _example(signature))
        except ServingError as error:
            if error.status >= 500:
                raise


def _recorded(file):
    for record in tf.data.TFRecordDataset(str(file)).take(MAX_REQUESTS):
        yield PredictionLog.FromString(record.numpy()).predict_log.request


def _replay(model, request):
    signature = model.signature(request.model_spec.signature_name)
    inputs = {name: to_array(tensor) for name, tensor in request.inputs.items()}
    signature.check_names(inputs, f"A request in {REQUESTS}")
    model.predict(signature, signature.completed(inputs))


def _example(signature):
    zeros = {name: _zeros(name, spec) for name, spec in signature.inputs.items()}
    return {**zeros, **signature.defaults}


def _zeros(name, spec):
    shape = [1 if size is None else size for size in spec.shape or ()]
    if spec.dtype == object:
        return np.full(shape, _png() if name == IMAGES else b"", object)
    return np.zeros(shape, spec.dtype)


def _png():
    return tf.io.encode_png(np.zeros((1, 1, 3), np.uint8)).numpy()
