"""The augmentation on the host, one image at a time: Pillow and NumPy, no accelerator.

The slow, literal twin of the device's augmentation: it serves exact comparisons with
PyTorch pipelines, and the tests hold the device's version to it.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageEnhance

KERNEL = 21
TRIES = 100
Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageDraws:
    """What chance decides about one image.

    Attributes:
        flip: mirror left and right.
        blur: blur an infrared image rather than jitter it.
        sigma: standard deviation of the blur in pixels.
        brightness: factor of the brightness.
        contrast: factor of the distance to the mean grey.
        contrast_first: contrast before brightness.
        box: top, left, height, width in pixels of the rectangle to erase, or None.
    """

    flip: bool
    blur: bool
    sigma: float
    brightness: float
    contrast: float
    contrast_first: bool
    box: Box | None


def draw(
    rng: np.random.Generator,
    image_size: tuple[int, int],
    *,
    flip: float = 0.5,
    jitter: tuple[float, float] = (0.3, 0.3),
    blur_sigma: tuple[float, float] = (0.1, 3.0),
    erasing: float = 0.5,
) -> ImageDraws:
    """Draw for one image.

    Args:
        rng: source of the numbers.
        image_size: height and width in pixels.
        flip: probability of a flip.
        jitter: brightness and contrast factors are uniform in 1 -+ these.
        blur_sigma: range of the blur's standard deviation in pixels.
        erasing: probability of erasing.
    """
    brightness, contrast = (rng.uniform(max(1 - s, 0), 1 + s) for s in jitter)
    return ImageDraws(
        flip=bool(rng.uniform() < flip),
        blur=bool(rng.uniform() < 0.5),
        sigma=rng.uniform(*blur_sigma),
        brightness=brightness,
        contrast=contrast,
        contrast_first=bool(rng.uniform() < 0.5),
        box=draw_box(rng, image_size) if rng.uniform() < erasing else None,
    )


def draw_box(rng: np.random.Generator, image_size: tuple[int, int]) -> Box | None:
    """Draw a rectangle to erase: area 2 to 40 %, height over width .3 to 3.33.

    The first of 100 that is smaller than the image in both directions, at a uniform
    place (Zhong et al. 2020); None where none is.
    """
    height, width = image_size
    for _ in range(TRIES):
        area = rng.uniform(0.02, 0.4) * height * width
        aspect = rng.uniform(0.3, 3.33)
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h < height and w < width:
            top, left = rng.integers(0, [height - h, width - w], endpoint=True)
            return int(top), int(left), h, w
    return None


def transform(
    image: UInt8[np.ndarray, "h w 3"],
    draws: ImageDraws | None = None,
    *,
    infrared: bool = False,
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
    std: tuple[float, float, float] = (0.229, 0.224, 0.225),
    fill: tuple[float, float, float] = (0.485, 0.456, 0.406),
) -> Float[np.ndarray, "h w 3"]:
    """Augment and normalise one image of its final size; float32.

    Args:
        image: as `decode.read_image` returns it.
        draws: what to do; None for a test image.
        infrared: jitter or blur it.
        mean: subtracted per channel, on the 0..1 scale.
        std: divided by per channel.
        fill: put into the erased rectangle after normalisation. The default, the
            released code's, is the mean colour only before normalisation.
    """
    if draws is None:
        return normalise(image, mean, std)
    if draws.flip:
        image = image[:, ::-1]
    if infrared:
        image = blur(image, draws.sigma) if draws.blur else jitter(image, draws)
    result = normalise(image, mean, std)
    if draws.box is not None:
        top, left, h, w = draws.box
        result[top : top + h, left : left + w] = fill
    return result


def normalise(
    image: UInt8[np.ndarray, "h w 3"],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Float[np.ndarray, "h w 3"]:
    """Scale to 0..1, subtract `mean` and divide by `std` per channel; float32."""
    scaled = image.astype(np.float32) / np.float32(255)
    return (scaled - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)


def jitter(
    image: UInt8[np.ndarray, "h w 3"], draws: ImageDraws
) -> UInt8[np.ndarray, "h w 3"]:
    """Change brightness and contrast as Pillow does, in the order drawn."""
    steps = [
        (ImageEnhance.Brightness, draws.brightness),
        (ImageEnhance.Contrast, draws.contrast),
    ]
    picture = Image.fromarray(image)
    for enhance, factor in reversed(steps) if draws.contrast_first else steps:
        picture = enhance(picture).enhance(factor)
    return np.asarray(picture)


def blur(image: UInt8[np.ndarray, "h w 3"], sigma: float) -> UInt8[np.ndarray, "h w 3"]:
    """Blur with a Gaussian of 21 x 21 pixels, edges reflected, and round to 8 bits."""
    half = KERNEL // 2
    offset = np.arange(-half, half + 1)
    taps = np.exp(-0.5 * np.square(offset / sigma))
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    padded = np.pad(image, ((half, half), (half, half), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, (0, 1))
    return np.round(np.einsum("hwcij,ij->hwc", windows, kernel)).astype(np.uint8)
