"""Places: procedural backgrounds, of which every picture shows another cut-out."""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter

from ckda_jax.data.synthetic.streams import stream

SPAN = (1.25, 4.0)
"""Height and width of a panorama, in heights and widths of a picture."""
_FIRST = 4
"""Number of a layout's first thing; wall, floor, edges and tile lines come before."""
_LEAF = np.array([0.34, 0.5, 0.24])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """What a sort of place looks like.

    Attributes:
        horizon: where the floor begins, as a share of the height from the top.
        wall, floor: mean colours, red green blue.
        spread: how much the colours of its things differ from the wall's.
        things: numbers of windows, plants, boxes and posts.
        tiles: lines on the floor.
        warmth: infrared level of wall, floor and spread of its things.
        grain: strength of the surface texture.
    """

    horizon: float
    wall: tuple[float, float, float]
    floor: tuple[float, float, float]
    spread: float
    things: tuple[int, int, int, int]
    tiles: int
    warmth: tuple[float, float, float]
    grain: float


KINDS = {
    "street": Kind(
        horizon=0.5,
        wall=(0.72, 0.76, 0.8),
        floor=(0.5, 0.5, 0.52),
        spread=0.22,
        things=(14, 10, 7, 5),
        tiles=0,
        warmth=(0.16, 0.24, 0.05),
        grain=0.05,
    ),
    "room": Kind(
        horizon=0.66,
        wall=(0.86, 0.8, 0.68),
        floor=(0.62, 0.48, 0.36),
        spread=0.2,
        things=(5, 0, 12, 2),
        tiles=9,
        warmth=(0.42, 0.3, 0.16),
        grain=0.03,
    ),
    "garden": Kind(
        horizon=0.42,
        wall=(0.42, 0.56, 0.34),
        floor=(0.6, 0.57, 0.48),
        spread=0.2,
        things=(0, 40, 2, 5),
        tiles=0,
        warmth=(0.5, 0.36, 0.2),
        grain=0.12,
    ),
    "gate": Kind(
        horizon=0.55,
        wall=(0.6, 0.42, 0.35),
        floor=(0.66, 0.65, 0.63),
        spread=0.18,
        things=(4, 4, 3, 26),
        tiles=14,
        warmth=(0.35, 0.42, 0.18),
        grain=0.06,
    ),
    "lobby": Kind(
        horizon=0.3,
        wall=(0.3, 0.34, 0.3),
        floor=(0.42, 0.44, 0.38),
        spread=0.16,
        things=(10, 2, 6, 9),
        tiles=22,
        warmth=(0.62, 0.74, 0.14),
        grain=0.04,
    ),
    "campus": Kind(
        horizon=0.36,
        wall=(0.66, 0.72, 0.74),
        floor=(0.74, 0.73, 0.7),
        spread=0.14,
        things=(24, 14, 2, 6),
        tiles=30,
        warmth=(0.14, 0.24, 0.07),
        grain=0.07,
    ),
}


@functools.lru_cache(maxsize=512)
def panorama(
    kind: str, seed: int, place: str, infrared: bool, size: tuple[int, int]
) -> Float[np.ndarray, "y x c"]:
    """Draw a place once, as wide as several pictures.

    The things in it stand where they stand in either modality; what they are made of
    looks different in each.

    Args:
        kind: name in `KINDS`.
        seed: of the world.
        place: name of the place.
        infrared: whether to draw it in infrared (one channel) or in colour (three).
        size: height and width of a picture in pixels.

    Returns:
        Values on the 0 to 1 scale, `SPAN` times as large as a picture.
    """
    height, width = round(size[0] * SPAN[0]), round(size[1] * SPAN[1])
    labels = _layout(
        KINDS[kind], stream(seed, place, "layout"), (2 * height, 2 * width)
    )
    rng = stream(seed, place, "infrared" if infrared else "visible")
    table = _materials(KINDS[kind], rng, infrared)
    picture = np.stack(
        [
            np.asarray(labels.point(column.tolist()).reduce(2), np.float32) / 255
            for column in table.T
        ],
        -1,
    )
    grain = _grain(rng, (height, width)) * KINDS[kind].grain
    return np.clip(picture + grain[..., None], 0, 1)


def _layout(kind: Kind, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw the outlines of a place's things, each with a number of its own."""
    height, width = size
    labels = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(labels)
    ground = kind.horizon * height
    draw.rectangle((0, ground, width, height), fill=1)
    _tiles(draw, kind.tiles, ground, size)
    number = _FIRST
    windows, plants, boxes, posts = kind.things
    for _ in range(windows):
        x, y = rng.uniform(0, width), rng.uniform(0, ground * 0.7)
        w, h = rng.uniform(0.06, 0.16) * height, rng.uniform(0.08, 0.26) * height
        draw.rectangle((x, y, x + w, min(y + h, ground)), fill=number)
        middle = x + w / 2
        draw.line((middle, y, middle, min(y + h, ground)), fill=2, width=2)
        number += 1
    for _ in range(plants):
        x, y = rng.uniform(0, width), ground + rng.uniform(-0.35, 0.06) * height
        for _ in range(7):
            dx, dy, r = rng.normal(0, 0.05, 3) * height
            r = abs(r) + 0.025 * height
            draw.ellipse((x + dx - r, y + dy - r, x + dx + r, y + dy + r), fill=number)
        number += 1
    for _ in range(boxes):
        x, w, h = rng.uniform(0, width), *rng.uniform(0.06, 0.3, 2) * height
        base = ground + rng.uniform(0, 0.1) * height
        draw.rectangle((x, base - h, x + w, base), fill=number)
        draw.rectangle((x, base - h, x + w, base - 0.85 * h), fill=2)
        number += 1
    for _ in range(posts):
        x, w = rng.uniform(0, width), rng.uniform(0.006, 0.03) * height
        draw.rectangle((x, 0, x + w, ground + 0.05 * height), fill=number)
        number += 1
    return labels


def _tiles(draw: ImageDraw.ImageDraw, count: int, ground: float, size) -> None:
    """Draw floor lines that run to a vanishing point and lines across them."""
    height, width = size
    for k in range(count):
        x = width * (k + 0.5) / count
        foot = (x - width / 2) * 1.3 + width / 2
        draw.line((x, ground, foot, height), fill=3, width=2)
    for k in range(count // 3):
        y = ground + (height - ground) * ((k + 1) / (count // 3 + 1)) ** 1.5
        draw.line((0, y, width, y), fill=3, width=2)


def _materials(kind: Kind, rng: np.random.Generator, infrared: bool) -> np.ndarray:
    """Give every number of a layout a look, `[256, c]` on the 0 to 255 scale."""
    if infrared:
        wall, floor, spread = kind.warmth
        table = wall + rng.normal(0, spread, (256, 1))
        table[:2, 0] = wall, floor
    else:
        shade = rng.normal(0, kind.spread, (256, 1))
        table = np.asarray(kind.wall) + shade + rng.normal(0, kind.spread / 2, (256, 3))
        table[0], table[1] = kind.wall, kind.floor
        first = _FIRST + kind.things[0]
        leaves = slice(first, first + kind.things[1])
        table[leaves] = _LEAF * rng.uniform(0.6, 1.4, (256, 1))[leaves]
    table[2] = table[0] * 0.6
    table[3] = table[1] * 0.8
    return np.clip(table * 255, 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Make surface texture: noise on two scales, about one in strength."""
    height, width = size
    coarse = rng.normal(0, 1, (math.ceil(height / 12), math.ceil(width / 12)))
    spread = Image.fromarray(coarse.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    fine = np.clip(128 + 60 * rng.normal(0, 1, (height, width)), 0, 255)
    soft = Image.fromarray(fine.astype(np.uint8)).filter(ImageFilter.BoxBlur(1))
    return np.asarray(spread) + (np.asarray(soft, np.float32) - 128) / 40
