"""The sensor: what lens, light and electronics make of an ideal picture."""

import functools

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter

from ckda_jax.data.synthetic.camera import Camera, Shot
from ckda_jax.data.synthetic.streams import stream


def develop(
    picture: Float[np.ndarray, "h w c"], shot: Shot, camera: Camera
) -> UInt8[np.ndarray, "h w c"]:
    """Light a picture, blur it, add noise and quantise it.

    Args:
        picture: ideal values, about 0 to 1.
        shot: its light, blur and noise.
        camera: its exposure.

    Returns:
        The recorded picture.
    """
    height, width, _ = picture.shape
    picture = picture * _light(shot, camera, (height, width))[..., None]
    if camera.gamma != 1:
        picture = np.clip(picture, 0, 1) ** np.float32(camera.gamma)
    picture = _blurred(picture, shot.blur * height / 128)
    noise = _noise(shot, picture.shape)
    picture = picture + shot.noise * noise
    if camera.lines:
        picture = picture + camera.lines * noise[:, :1, :1]
    picture = camera.lift + (1 - camera.lift) * picture
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)


def _light(shot: Shot, camera: Camera, size: tuple[int, int]) -> np.ndarray:
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :]
    light = shot.gain * (1 + shot.slope[0] * x + shot.slope[1] * y)
    return light * (1 - camera.vignette * (0.35 * x**2 + 0.65 * y**2))


def _blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    if radius < 0.15:
        return picture
    values = np.clip(picture * 255, 0, 255).astype(np.uint8)
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
    return soft.reshape(picture.shape)


@functools.cache
def _bank() -> np.ndarray:
    """Draw sensor noise once; pictures take it from random places."""
    return stream("sensor noise").standard_normal(1 << 20).astype(np.float32)


def _noise(shot: Shot, shape: tuple[int, ...]) -> np.ndarray:
    """Take noise for a picture: in part shared by the channels."""
    bank, count = _bank(), shape[0] * shape[1]
    first = int(shot.offsets[0] * (len(bank) - count))
    grey = bank[first : first + count].reshape(*shape[:2], 1)
    if shape[2] == 1:
        return grey
    count *= shape[2]
    first = int(shot.offsets[1] * (len(bank) - count))
    return 0.8 * grey + 0.5 * bank[first : first + count].reshape(shape)
