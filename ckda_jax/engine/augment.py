"""Augmentation of a training batch on the device, inside the compiled step.

What is drawn and what is done with it are apart: `draw` turns a key into a tree of
numbers, `apply` is a plain function of numbers and images. The values are those of the
transforms of PyTorch's torchvision and Pillow that the released CKDA code trains with,
their rounding to 8 bits after each operation included.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from ckda_jax import keys
from ckda_jax.structs import INFRARED, InputError

Images = UInt8[Array | np.ndarray, "m b h w 3"]

KERNEL = 21
"""Taps of the blur along one axis; reflection needs images larger than half of it."""

TRIES = 10
"""Rectangles drawn for an erasing; with none that fits, nothing is erased.

The released code draws up to 100. One rectangle of 18 does not fit a 256x128 image, so
the two differ once in 10^12 images.
"""

FILLS = {"imagenet_mean": (0.485, 0.456, 0.406), "zero": (0.0, 0.0, 0.0)}
"""What an erased rectangle holds, after normalisation; the released code has the first,
which is the mean colour only before normalisation."""

_AREA = (0.02, 0.4)
_ASPECT = (0.3, 3.33)
_LUMA = (19595, 38470, 7471)


class Draws(struct.PyTreeNode):
    """What chance decides about each image of a batch.

    Attributes:
        flip: `[m, b]` bool, mirror left and right.
        blur: `[m, b]` bool, blur an infrared image rather than jitter it.
        sigma: `[m, b]`, standard deviation of the blur in pixels.
        brightness: `[m, b]`, factor of the brightness.
        contrast: `[m, b]`, factor of the distance to the mean grey.
        contrast_first: `[m, b]` bool, contrast before brightness.
        box: `[m, b, 4]` int32, top, left, height and width in pixels of the rectangle
            to erase; height 0 erases nothing.
    """

    flip: Any
    blur: Any
    sigma: Any
    brightness: Any
    contrast: Any
    contrast_first: Any
    box: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment:
    """Settings of the augmentation; called with a key and a batch of uint8 images.

    In this order: horizontal flip; for infrared modalities either a jitter of
    brightness and contrast or a Gaussian blur, one of the two with probability 1/2
    each; scaling to 0..1 and normalisation; random erasing (Zhong et al. 2020).

    Attributes:
        image_size: height and width in pixels.
        flip: probability of a flip.
        infrared: positions on the modality axis that are jittered or blurred.
        brightness: brightness factors are uniform in 1 -+ this.
        contrast: contrast factors are uniform in 1 -+ this.
        blur_sigma: range of the blur's standard deviation in pixels.
        mean: subtracted per channel, on the 0..1 scale.
        std: divided by per channel.
        erasing: probability of erasing.
        fill: name in `FILLS`.
        dtype: of the result; the work before is done in float32 at least.

    Raises:
        InputError: images too small for the blur.
    """

    image_size: tuple[int, int]
    flip: float = 0.5
    infrared: tuple[int, ...] = (INFRARED,)
    brightness: float = 0.3
    contrast: float = 0.3
    blur_sigma: tuple[float, float] = (0.1, 3.0)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    erasing: float = 0.5
    fill: str = "imagenet_mean"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.infrared and min(self.image_size) <= KERNEL // 2:
            raise InputError(
                f"model.image_size {self.image_size} is too small for the blur of "
                f"{KERNEL} pixels, which reflects {KERNEL // 2}; use larger images or "
                "augment.infrared=False"
            )

    def __call__(
        self, key: Key[Array, ""], images: Images
    ) -> Float[Array, "m b h w 3"]:
        """Augment and normalise a batch with what `key` draws."""
        m, b = images.shape[:2]
        return self.apply(self.draw(key, (m, b)), images)

    def draw(self, key: Key[Array, ""], shape: tuple[int, int]) -> Draws:
        """Draw for `m x b` images; every number has its own stream."""

        def uniform(name: str, low: float, high: float) -> Array:
            stream = keys.stream(key, name)
            return jax.random.uniform(stream, shape, minval=low, maxval=high)

        return Draws(
            flip=uniform("flip", 0.0, 1.0) < self.flip,
            blur=uniform("blur", 0.0, 1.0) < 0.5,
            sigma=uniform("sigma", *self.blur_sigma),
            brightness=uniform(
                "brightness", max(1 - self.brightness, 0.0), 1 + self.brightness
            ),
            contrast=uniform(
                "contrast", max(1 - self.contrast, 0.0), 1 + self.contrast
            ),
            contrast_first=uniform("contrast_first", 0.0, 1.0) < 0.5,
            box=_draw_boxes(
                keys.stream(key, "erasing"), shape, self.image_size, self.erasing
            ),
        )

    def apply(self, draws: Draws, images: Images) -> Float[Array, "m b h w 3"]:
        """Augment and normalise a batch with given draws."""
        chex.assert_shape(images, (*draws.flip.shape, *self.image_size, 3))
        pixels = jnp.asarray(images, self._compute_dtype())
        mirrored = draws.flip[..., None, None, None]
        pixels = jnp.where(mirrored, pixels[..., ::-1, :], pixels)
        for modality in self.infrared:
            mine = jax.tree.map(lambda draw, row=modality: draw[row], draws)
            changed = _disturb_infrared(mine, pixels[modality])
            pixels = pixels.at[modality].set(changed)
        normalised = self._normalise(pixels)
        fill = _channels(FILLS[self.fill], normalised)
        inside = _inside(draws.box, self.image_size)[..., None]
        return jnp.where(inside, fill, normalised)

    def normalise(
        self, images: UInt8[Array | np.ndarray, "*b h w 3"]
    ) -> Float[Array, "*b h w 3"]:
        """Scale to 0..1 and normalise, for test images: nothing is drawn."""
        return self._normalise(jnp.asarray(images, self._compute_dtype()))

    def _normalise(self, pixels: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
        mean, std = (_channels(values, pixels) for values in (self.mean, self.std))
        return ((pixels / 255 - mean) / std).astype(self.dtype)

    def _compute_dtype(self) -> np.dtype:
        return jnp.promote_types(self.dtype, jnp.float32)


def _channels(values: tuple[float, ...], like: Array) -> Array:
    """Shape one value per channel to broadcast against images."""
    return jnp.asarray(values, like.dtype).reshape((1,) * (like.ndim - 1) + (-1,))


def _draw_boxes(
    key: Key[Array, ""],
    shape: tuple[int, int],
    image_size: tuple[int, int],
    probability: float,
) -> Int[Array, "m b 4"]:
    """Draw rectangles to erase: the first of `TRIES` that is smaller than the image."""
    height, width = image_size
    u = jax.random.uniform(key, (*shape, 2 * TRIES + 3))
    low, high = _AREA
    area = (low + (high - low) * u[..., :TRIES]) * height * width
    low, high = _ASPECT
    aspect = low + (high - low) * u[..., TRIES : 2 * TRIES]
    heights = jnp.round(jnp.sqrt(area * aspect)).astype(jnp.int32)
    widths = jnp.round(jnp.sqrt(area / aspect)).astype(jnp.int32)
    fits = (heights < height) & (widths < width)
    first = jnp.argmax(fits, axis=-1, keepdims=True)
    h = jnp.take_along_axis(heights, first, axis=-1)[..., 0]
    w = jnp.take_along_axis(widths, first, axis=-1)[..., 0]
    erased = fits.any(axis=-1) & (u[..., -1] < probability)
    # A number next to 1 may round up to one place too many.
    top = jnp.minimum((u[..., -3] * (height - h + 1)).astype(jnp.int32), height - h)
    left = jnp.minimum((u[..., -2] * (width - w + 1)).astype(jnp.int32), width - w)
    return jnp.where(erased[..., None], jnp.stack([top, left, h, w], axis=-1), 0)


def _inside(
    box: Int[Array, "m b 4"], image_size: tuple[int, int]
) -> Bool[Array, "m b h w"]:
    """Mark the pixels of each rectangle."""
    top, left, h, w = (side[..., None] for side in jnp.moveaxis(box, -1, 0))
    row, column = (jnp.arange(side)[None, None] for side in image_size)
    rows = (row >= top) & (row < top + h)
    columns = (column >= left) & (column < left + w)
    return rows[..., :, None] & columns[..., None, :]


def _disturb_infrared(
    draws: Draws, pixels: Float[Array, "b h w 3"]
) -> Float[Array, "b h w 3"]:
    """Blur or jitter each image of one modality; `draws` are that modality's rows."""
    brightness, contrast, sigma = (
        factor.astype(pixels.dtype)[:, None, None, None]
        for factor in (draws.brightness, draws.contrast, draws.sigma)
    )
    first = draws.contrast_first[:, None, None, None]
    either = jnp.where(
        first, _contrast(pixels, contrast), _brightness(pixels, brightness)
    )
    jittered = jnp.where(
        first, _brightness(either, brightness), _contrast(either, contrast)
    )
    blurred = _blur(pixels, sigma)
    return jnp.where(draws.blur[:, None, None, None], blurred, jittered)


def _brightness(
    pixels: Float[Array, "b h w 3"], factor: Float[Array, "b 1 1 1"]
) -> Float[Array, "b h w 3"]:
    return jnp.floor(jnp.clip(pixels * factor, 0, 255))


def _contrast(
    pixels: Float[Array, "b h w 3"], factor: Float[Array, "b 1 1 1"]
) -> Float[Array, "b h w 3"]:
    """Move each image away from or towards its mean grey (ITU-R 601-2 luma)."""
    red, green, blue = (pixels[..., c].astype(jnp.int32) for c in range(3))
    weighted = red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]
    luma = (weighted + 0x8000) >> 16
    # Summed as integers: in float32 the order of summation would show.
    total = luma.sum(axis=(1, 2)).astype(pixels.dtype)
    grey = jnp.floor(total / (luma.shape[1] * luma.shape[2]) + 0.5)
    grey = grey[:, None, None, None]
    return jnp.floor(jnp.clip(grey + factor * (pixels - grey), 0, 255))


def _blur(
    pixels: Float[Array, "b h w 3"], sigma: Float[Array, "b 1 1 1"]
) -> Float[Array, "b h w 3"]:
    """Blur along height, then width, each image with its own sigma, edges reflected."""
    half = KERNEL // 2
    offset = jnp.arange(-half, half + 1, dtype=pixels.dtype)
    taps = jnp.exp(-0.5 * jnp.square(offset[:, None, None, None, None] / sigma[None]))
    taps = taps / taps.sum(axis=0, keepdims=True)
    for axis in (1, 2):
        margin = [(half, half) if a == axis else (0, 0) for a in range(4)]
        padded = jnp.pad(pixels, margin, mode="reflect")
        blurred = jnp.zeros_like(pixels)
        for place, tap in enumerate(taps):
            shifted = jax.lax.slice_in_dim(
                padded, place, place + pixels.shape[axis], axis=axis
            )
            blurred = blurred + tap * shifted
        pixels = blurred
    return jnp.round(pixels)
