"""Which server can run some models."""

from collections.abc import Sequence
from typing import NamedTuple

from kerasdml.deploy.models import Model, minor

# The release of TensorFlow Serving for TensorFlow 2.20, which is what this package
# exports with, and the release of ScaNN that was made for the same.
TF_SERVING = "2.20.0"
SCANN = "1.4.2"
SCANN_COMMIT = "634a79fb5b4b23237a81eac028d27b5d34a5dba4"

_STOCK = f"tensorflow/serving:{TF_SERVING}"
_LINKED = f"tf-serving-scann:{TF_SERVING}"


class Server(NamedTuple):
    """A container image, and whether it is first to be built."""

    image: str
    is_built: bool


def choose(models: Sequence[Model], image: str | None = None) -> Server:
    """The stock server, or where a model needs ScaNN one that is linked with it.

    Args:
        models: What it is to serve.
        image: What is taken in its place, unchecked.

    Raises:
        ValueError: If no server that is known here fits.
    """
    if image is not None:
        return Server(image, is_built=False)
    for model in models:
        written, offered = minor(model.tensorflow), minor(TF_SERVING)
        if model.needs_scann and written != offered:
            reason = f"ScaNN {SCANN} is for the same TensorFlow only"
        elif written > offered:
            reason = "an older one may lack its operations"
        else:
            continue
        raise ValueError(
            f"{model.name!r} was exported by TensorFlow {model.tensorflow}, and the "
            f"server is of {TF_SERVING}: {reason}. Name the image of another server "
            "with --image (`image=`)."
        )
    needs_scann = any(model.needs_scann for model in models)
    return Server(_LINKED if needs_scann else _STOCK, is_built=needs_scann)
