"""What a signature of a SavedModel takes and gives: names, dtypes, shapes."""

from collections.abc import Mapping
from types import MappingProxyType
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

    @property
    def has_batch(self) -> bool:
        """Whether the first axis may be of any length."""
        return bool(self.shape) and self.shape[0] is None

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
        outputs: Name to `TensorSpec` of each output.
        defaults: Name to array of each input that may be left out.
    """

    name: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    defaults: Mapping[str, np.ndarray] = MappingProxyType({})

    def check_names(self, names, where: str):
        """Refuses inputs that are missing, without a default, or unknown.

        Args:
            names: The names that a request gives.
            where: The part of the request that gives them, for the message.
        """
        if not self._needed <= set(names) <= set(self.inputs):
            raise ServingError(
                400,
                f"{where} must have exactly the inputs of signature {self.name!r}: "
                f"{', '.join(self.inputs)}. Received: {', '.join(names) or 'none'}.",
            )

    def only_input(self, where: str) -> str:
        """Name of the input, for requests that leave it out."""
        # The only one that must be given, where others may be left out.
        names = self._needed if len(self.inputs) > 1 else set(self.inputs)
        if len(names) != 1:
            raise ServingError(
                400,
                f"{where} must name its inputs, as signature {self.name!r} has "
                f"{len(self.inputs)}: {', '.join(self.inputs)}.",
            )
        return next(iter(names))

    def completed(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs, with the defaults of those that are left out."""
        return {**self.defaults, **inputs}

    @property
    def _needed(self):
        return self.inputs.keys() - self.defaults.keys()

    def check_arrays(self, inputs: dict[str, np.ndarray]):
        """Refuses arrays that the signature cannot be fed with."""
        for name, spec in self.inputs.items():
            array = inputs[name]
            if array.dtype != spec.dtype:
                raise ServingError(
                    400,
                    f"`{name}` must be of type {_type(spec.dtype)}. "
                    f"Received: {_type(array.dtype)}.",
                )
            if not spec.fits(array.shape):
                raise ServingError(
                    400, f"`{name}` must have shape {spec}. Received: {array.shape}."
                )


def _type(dtype):
    return "string" if dtype.kind == "O" else str(dtype)
