"""Small images inside an HTML page, as data URIs."""

import base64
import io
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from ckda_jax.data import prepared

SIZE = (80, 160)
"""Largest width and height of an embedded image, in pixels."""

LEVELS = 64
"""Colours of a heat map."""


def photo(path: str | Path) -> str | None:
    """Embed an image, a file or a prepared one, made small; None if unreadable."""
    try:
        pixels = prepared.picture(path)
        if pixels is not None:
            return picture(pixels)
        with Image.open(path) as image:
            image.draft("RGB", SIZE)
            return _jpeg(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def picture(pixels: np.ndarray) -> str:
    """Embed an image `[h, w, 3]` uint8, made small."""
    return _jpeg(Image.fromarray(pixels))


def heat_map(values: np.ndarray, top: float) -> str:
    """Embed a map `[h, w]` of values from 0 to `top` as colours, dark to light."""
    scaled = np.clip(values / max(top, np.finfo(np.float64).tiny), 0.0, 1.0)
    levels = np.nan_to_num(np.round(scaled * (LEVELS - 1))).astype(np.uint8)
    # Shrunk before it is coloured: levels may be averaged, palette entries may not.
    image = Image.fromarray(levels)
    image.thumbnail(SIZE, Image.Resampling.BOX)
    image.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _uri("image/png", buffer.getvalue())


def palette() -> np.ndarray:
    """Return the colours of a heat map, `[LEVELS, 3]` uint8."""
    colours = matplotlib.colormaps["inferno"](np.linspace(0, 1, LEVELS))[:, :3]
    return np.round(255 * colours).astype(np.uint8)


def gradient() -> str:
    """Write the colours of a heat map as a CSS background."""
    stops = ", ".join(f"rgb({r} {g} {b})" for r, g, b in palette()[:: LEVELS // 8])
    return f"linear-gradient(to right, {stops})"


def _jpeg(image: Image.Image) -> str:
    image.thumbnail(SIZE, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80, optimize=True)
    return _uri("image/jpeg", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
