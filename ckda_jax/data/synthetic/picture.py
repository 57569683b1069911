"""Pictures: a person before a camera, as the sensor records it."""

import functools

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from ckda_jax.data.synthetic import body, figure, scene
from ckda_jax.data.synthetic.camera import Camera, Shot
from ckda_jax.data.synthetic.people import REGIONS, TEXTURES, Infrared, Person, Visible
from ckda_jax.data.synthetic.sensor import develop

OVERSAMPLE = 3
"""Polygons are filled on a raster this many times finer, which smooths their edges."""
_SHADES = np.array([0.62, 0.82, 1.0], np.float32)
_COOLING = np.array([0.8, 0.92, 1.0], np.float32)
_SHADOW = 1 + len(REGIONS) * figure.TONES
_OCCLUDER = _SHADOW + 1
_GROUND_WARMTH = 0.12
"""Of the patch that a person's feet have warmed, or shaded."""
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def render(
    person: Person,
    shot: Shot,
    camera: Camera,
    *,
    seed: int,
    size: tuple[int, int],
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw one picture.

    Args:
        person: who is seen.
        shot: pose, framing, light and noise of the moment.
        camera: what it is seen with.
        seed: of the world, which decides the camera's surroundings.
        size: height and width in pixels.

    Returns:
        The picture; an infrared one has three equal channels.
    """
    labels = silhouette(person, shot, size)
    place = _cut_out(camera, shot, seed, size)
    if camera.infrared:
        picture = _thermal(person.infrared, labels, place, shot, camera)
    else:
        picture = _coloured(person.visible, labels, place, shot, camera)
    picture = develop(picture, shot, camera)
    return np.repeat(picture, 3, axis=2) if camera.infrared else picture


def silhouette(person: Person, shot: Shot, size: tuple[int, int]) -> Image.Image:
    """Fill the body's outlines, `OVERSAMPLE` times finer than the picture.

    Returns:
        A palette image of `figure.label_of` values, 0 where the background shows.
    """
    height, width = size[0] * OVERSAMPLE, size[1] * OVERSAMPLE
    labels = Image.new("P", (width, height))
    draw = ImageDraw.Draw(labels)
    scale = shot.fill * height
    origin = np.array([shot.centre * width, shot.foot * height])
    x, y = origin
    draw.ellipse(
        (x - 0.2 * scale, y - 0.035 * scale, x + 0.2 * scale, y + 0.015 * scale),
        fill=_SHADOW,
    )
    for label, outline in body.polygons(person.common, shot.pose):
        points = origin + outline * np.array([scale, -scale])
        draw.polygon(points.ravel().tolist(), fill=label)
    if shot.occluder is not None:
        left, top, right, bottom, _ = shot.occluder
        box = (left * width, top * height, right * width, bottom * height)
        draw.rectangle(box, fill=_OCCLUDER)
    return labels


def _cut_out(
    camera: Camera, shot: Shot, seed: int, size: tuple[int, int]
) -> Float[np.ndarray, "h w c"]:
    """Cut the shot's window out of the camera's panorama."""
    whole = scene.panorama(camera.scene, seed, camera.place, camera.infrared, size)
    left = int(shot.window[0] * (whole.shape[1] - size[1]))
    top = int(shot.window[1] * (whole.shape[0] - size[0]))
    return whole[top : top + size[0], left : left + size[1]]


def _lookup(labels: Image.Image, *tables: np.ndarray) -> Float[np.ndarray, "h w t"]:
    """Replace labels by the values (0 to 1) of at most three tables; average down."""
    colours = np.zeros((256, 3), np.uint8)
    for column, table in enumerate(tables):
        colours[:, column] = np.clip(table * 255, 0, 255)
    looked_up = labels.copy()
    looked_up.putpalette(colours.tobytes())
    small = looked_up.convert("RGB").reduce(OVERSAMPLE)
    return np.asarray(small, np.float32)[..., : len(tables)] / 255


@functools.cache
def _members(*regions: str) -> np.ndarray:
    """Mark the labels of regions, in all tones."""
    table = np.zeros(256, np.float32)
    for region in regions:
        first = figure.label_of(region, 0)
        table[first : first + figure.TONES] = 1.0
    return table


@functools.cache
def _opacity() -> np.ndarray:
    """Say how much of the background each label hides."""
    table = _members(*REGIONS).copy()
    table[_SHADOW], table[_OCCLUDER] = 0.4, 1.0
    return table


def _table(values: np.ndarray, tones: np.ndarray, shot: Shot) -> np.ndarray:
    """Spread values of regions over the labels' tones."""
    table = np.zeros(256, np.float32)
    table[1:_SHADOW] = (values[:, None] * tones).ravel()
    table[_OCCLUDER] = shot.occluder[-1] if shot.occluder else 0.0
    return table


def _coloured(
    look: Visible, labels: Image.Image, place: np.ndarray, shot: Shot, camera: Camera
) -> Float[np.ndarray, "h w 3"]:
    """Colour the raster as the person is dressed and set it before the place."""
    tables = [_table(colour, _SHADES, shot) for colour in look.colours.T]
    masks = _lookup(labels, _opacity(), _members("upper"), _members("lower"))
    hidden, garments = masks[..., :1], masks[..., 1:]
    patterns = _patterns(look, shot, masks.shape[:2])
    person = _lookup(labels, *tables) * (1 - garments * patterns).prod(2, keepdims=True)
    picture = person + place * (1 - hidden)
    grey = (picture @ _GREY)[..., None]
    picture = grey + camera.saturation * (picture - grey)
    return picture * np.asarray(camera.cast, np.float32)


def _patterns(
    look: Visible, shot: Shot, size: tuple[int, ...]
) -> Float[np.ndarray, "h w 2"]:
    """Draw how much the woven or printed patterns of both garments darken them."""
    y, x = _on_body(shot, size)
    patterns = np.zeros((*size, 2), np.float32)
    for k in range(2):
        turns = 2 * np.pi / look.period[k]
        down = 0.5 + 0.5 * np.sin(turns * y)[:, None]
        across = 0.5 + 0.5 * np.sin(turns * x)[None, :]
        kinds = {
            "hoops": down,
            "stripes": across,
            "checks": down * across,
            "plain": 0.0,
        }
        patterns[..., k] = look.contrast[k] * kinds[TEXTURES[look.texture[k]]]
    return patterns


def _thermal(
    look: Infrared, labels: Image.Image, place: np.ndarray, shot: Shot, camera: Camera
) -> Float[np.ndarray, "h w 1"]:
    """Heat (or, near infrared, light up) the raster and set it before the place."""
    near = camera.polarity == "near"
    heat = 0.55 + camera.contrast * (look.heat - 0.55)
    if not near:
        heat = 0.3 + 0.7 * heat  # even cool clothes are warmer than what stands behind
    table = _table(heat, _SHADES if near else _COOLING, shot)
    if not near:
        table[_SHADOW] = _GROUND_WARMTH
    layers = _lookup(labels, table, _opacity(), _members(*REGIONS))
    person, hidden, body_mask = np.split(layers, 3, axis=2)
    person = person + body_mask * _waves(look, shot, layers.shape[:2])[..., None]
    picture = person + place * (1 - hidden)
    return 1 - picture if camera.polarity == "hot black" else picture


def _on_body(shot: Shot, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Give rows and columns of a picture in statures from where the person stands."""
    height, width = size
    y = (np.arange(height, dtype=np.float32) / height - shot.foot) / shot.fill
    x = (np.arange(width, dtype=np.float32) / width - shot.centre) / shot.fill
    return y, x * (width / height)


def _waves(look: Infrared, shot: Shot, size: tuple[int, ...]) -> np.ndarray:
    """Draw the heat map over the body, `[h, w]`, about zero."""
    y, x = _on_body(shot, size)
    across, down, phase, strength = look.waves.T
    angle_x = 2 * np.pi * across[:, None] * x
    angle_y = 2 * np.pi * down[:, None] * y + phase[:, None]
    # sin(a + b) by parts: a wave costs one outer product instead of h * w sines
    rows = np.concatenate([np.sin(angle_y), np.cos(angle_y)])
    columns = np.concatenate([np.cos(angle_x), np.sin(angle_x)])
    return (rows * np.tile(strength, 2)[:, None]).T @ columns
