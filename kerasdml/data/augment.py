"""Random views of pictures: one window per picture, mirrored, turned and lit."""

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Augment:
    """How much pictures are varied: a random window onto each, shown at full size.

    Each amount is drawn evenly from its range; the window is bilinearly sampled. The
    defaults are those for photographs: windows inside the picture, and mirroring. For
    white characters on black, whose meaning mirroring changes:
    `Augment(flip=False, scale=(0.9, 1.1), shift=0.05, rotate=10, outside="black")`.

    Args:
        flip: Whether half of the pictures are mirrored left to right.
        scale: Least and greatest side of the window, as parts of the picture's sides;
            below 1 the content grows, above 1 it shrinks.
        shift: How far the window may leave the picture, as a part of the picture's
            sides, at least 0. At 0 a window smaller than the picture lies anywhere
            inside it, a larger one at its middle.
        rotate: Greatest turn to either side, in degrees, 0 to 180.
        shear: Greatest slant to either side, in degrees, 0 to below 90.
        brightness: Greatest relative change of all values, 0 to below 1; results stay
            within 0 … 255.
        outside: What a window sees beyond the picture: `"mirror"`, the picture mirrored
            at its edges, or `"black"`, zeros.

    Raises:
        ValueError: If a range is empty or out of bounds, or `outside` unknown.
    """

    flip: bool = True
    scale: tuple = (0.7, 1.0)
    shift: float = 0.0
    rotate: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    outside: str = "mirror"

    # Random numbers per picture, as `__call__` takes them.
    DRAWS = 7

    def __post_init__(self):
        if np.shape(self.scale) != (2,) or not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(
                "`scale` must be a pair of sides, 0 < least <= greatest. "
                f"Received: scale={self.scale}."
            )
        _check("shift", self.shift, self.shift >= 0, "at least 0")
        _check("rotate", self.rotate, 0 <= self.rotate <= 180, "from 0 to 180")
        _check("shear", self.shear, 0 <= self.shear < 90, "from 0 to below 90")
        _check(
            "brightness", self.brightness, 0 <= self.brightness < 1, "from 0 to below 1"
        )
        if self.outside not in ("mirror", "black"):
            raise ValueError(
                f'`outside` must be "mirror" or "black". Received: {self.outside!r}.'
            )

    def __call__(self, images, draws):
        """Varies a batch.

        Args:
            images: `(b, h, w, channels)` float32, h, w and channels static.
            draws: `(b, DRAWS)` float32 in [0, 1), which decide on everything.

        Returns:
            `(b, h, w, channels)` float32.
        """
        flip, scale, x, y, rotate, shear, brightness = tf.unstack(draws, axis=1)
        images = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=self._windows(images, flip, scale, x, y, rotate, shear),
            output_shape=images.shape[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="REFLECT" if self.outside == "mirror" else "CONSTANT",
        )
        if not self.brightness:
            return images
        factor = 1.0 + self.brightness * (2.0 * brightness - 1.0)
        return tf.clip_by_value(images * factor[:, None, None, None], 0.0, 255.0)

    def _windows(self, images, flip, scale, x, y, rotate, shear):
        """The maps `(b, 8)` from places in the result to places in the picture."""
        low, high = self.scale
        side = low + (high - low) * scale
        angle = np.radians(self.rotate) * (2.0 * rotate - 1.0)
        slant = tf.tan(np.radians(self.shear) * (2.0 * shear - 1.0))
        mirror = tf.where(flip < 0.5, -1.0, 1.0) if self.flip else tf.ones_like(flip)
        # side * rotation @ [[1, slant], [0, 1]] @ diag(mirror, 1)
        cos, sin = side * tf.cos(angle), side * tf.sin(angle)
        a, b = cos * mirror, cos * slant - sin
        c, d = sin * mirror, sin * slant + cos
        # The middle of the window, which the map above turns about.
        height, width = images.shape[1:3]
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        reach = tf.maximum(1.0 - side, 0.0) / 2.0 + self.shift
        to_x = middle_x + reach * (2.0 * x - 1.0) * width
        to_y = middle_y + reach * (2.0 * y - 1.0) * height
        from_x = a * middle_x + b * middle_y
        from_y = c * middle_x + d * middle_y
        none = tf.zeros_like(a)
        return tf.stack([a, b, to_x - from_x, c, d, to_y - from_y, none, none], axis=1)


def _check(name, value, holds, bounds):
    if not holds:
        raise ValueError(f"`{name}` must be {bounds}. Received: {name}={value}.")
