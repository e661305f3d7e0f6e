"""What a signature of a SavedModel takes and gives: names, dtypes, shapes."""

from typing import NamedTuple

import numpy as np

from kerasdml.serving.errors import ServingError

# The one that answers requests which name none.
DEFAULT_SIGNATURE = "serving_default"

# Inputs of this name are encoded images, as `export.saved_model` writes them.
IMAGES = "image_bytes"


class TensorSpec(NamedTuple):
    """Type and shape of a tensor.

    Args:
        dtype: NumPy's; `object` for strings, which are `bytes` inside.
        shape: One entry for each axis, None where any length will do; None altogether
            where any rank will do.
    """

    dtype: np.dtype
    shape: tuple[int | None, ...] | None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape may be fed."""
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(
                want in (None, got) for got, want in zip(shape, self.shape, strict=True)
            )
        )

    def __str__(self):
        if self.shape is None:
            return "any shape"
        free = ["batch", *["any"] * len(self.shape)]
        axes = zip(self.shape, free, strict=False)
        return f"({', '.join(name if n is None else str(n) for n, name in axes)})"


class Signature(NamedTuple):
    """One way to call a SavedModel.

    Args:
        name: Its key in the SavedModel.
        inputs: Name to `TensorSpec` of each input.
    """

    name: str
    inputs: dict[str, TensorSpec]

    def check_names(self, names, where: str):
        """Refuses inputs that are missing or unknown.

        Args:
            names: The names that a request gives.
            where: The part of the request that gives them, for the message.
        """
        if set(names) != set(self.inputs):
            raise ServingError(
                400,
                f"{where} must have exactly the inputs of signature {self.name!r}: "
                f"{', '.join(self.inputs)}. Received: {', '.join(names) or 'none'}.",
            )

    def only_input(self, where: str) -> str:
        """Name of the input, for requests that leave it out."""
        if len(self.inputs) != 1:
            raise ServingError(
                400,
                f"{where} must name its inputs, as signature {self.name!r} has "
                f"{len(self.inputs)}: {', '.join(self.inputs)}.",
            )
        return next(iter(self.inputs))

    def check_shapes(self, inputs: dict[str, np.ndarray]):
        """Refuses arrays that the signature cannot be fed with."""
        for name, spec in self.inputs.items():
            if not spec.fits(inputs[name].shape):
                raise ServingError(
                    400,
                    f"`{name}` must have shape {spec}. Received: {inputs[name].shape}.",
                )
