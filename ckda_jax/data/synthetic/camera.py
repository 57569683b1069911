"""Cameras: how one sees, and a single shot taken with it."""

import dataclasses
import math

import numpy as np

from ckda_jax.data.synthetic.figure import Pose

YAW = {
    "any": ((0.0, math.pi),),
    "facing": ((0.0, 0.5), (math.pi, 0.5)),
    "crossing": ((math.pi / 2, 0.45), (-math.pi / 2, 0.45)),
    "oblique": ((0.7, 0.5), (-0.7, 0.5), (math.pi - 0.7, 0.5), (math.pi + 0.7, 0.5)),
}
"""Which ways people walk before a camera: centres and half ranges in radians."""
POLARITIES = ("hot white", "hot black", "near")
"""Thermal with warm things white or black, or near infrared with its own lamp."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """How a camera sees. Ranges are (low, high), drawn anew for every shot.

    Attributes:
        infrared: what it records.
        scene, place: name of a kind of place, and of the place it looks at.
        yaw: name in `YAW`.
        pitch: how far it looks down, in radians.
        roll: spread, in radians.
        fill: a person's height over the picture's.
        shift: spread of the person's place, in widths and heights of the picture.
        perspective: see `figure.Pose`.
        occlusion: probability that something stands before the person.
        gain, gamma: exposure.
        lift: black level.
        cast: factor of each colour.
        saturation: of colours, 1 leaves them.
        contrast: of the person's heat.
        vignette: loss of light towards the corners, or of the lamp's.
        slope: spread of the light's change across the picture.
        blur: radius in pixels of a picture 128 high.
        noise: spread on the 0 to 1 scale.
        lines: spread of the noise that a whole row shares.
        polarity: in `POLARITIES`, of an infrared camera.
        quality: JPEG quality, where the files are JPEG.
    """

    infrared: bool
    scene: str
    place: str
    yaw: str = "any"
    pitch: tuple[float, float] = (0.0, 0.1)
    roll: float = 0.02
    fill: tuple[float, float] = (0.82, 0.96)
    shift: tuple[float, float] = (0.05, 0.015)
    perspective: float = 0.05
    occlusion: float = 0.1
    gain: tuple[float, float] = (0.9, 1.1)
    gamma: float = 1.0
    lift: float = 0.0
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 1.0
    vignette: float = 0.0
    slope: float = 0.1
    blur: tuple[float, float] = (0.3, 0.6)
    noise: tuple[float, float] = (0.01, 0.03)
    lines: float = 0.0
    polarity: str = "near"
    quality: tuple[int, int] = (75, 95)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shot:
    """Everything chance decides about one picture; nothing of it depends on the person.

    Attributes:
        pose: of the body.
        fill: the person's height over the picture's.
        centre, foot: where the body's axis meets the ground, in widths and heights.
        window: where the cut-out of the panorama lies, across and down, 0 to 1.
        gain, slope: of the light.
        blur, noise: of the sensor.
        quality: of the JPEG file.
        occluder: left, top, right, bottom and level of what stands in front, or None.
        offsets: into the bank of noise.
    """

    pose: Pose
    fill: float
    centre: float
    foot: float
    window: tuple[float, float]
    gain: float
    slope: tuple[float, float]
    blur: float
    noise: float
    quality: int
    occluder: tuple[float, float, float, float, float] | None
    offsets: tuple[float, float]


def shoot(camera: Camera, rng: np.random.Generator, *, view: int | None = None) -> Shot:
    """Draw what chance decides about a picture taken with a camera.

    Args:
        camera: what takes it.
        rng: the chance.
        view: position in `YAW[camera.yaw]` where the side that is seen is given.

    Returns:
        The shot.
    """
    views = YAW[camera.yaw]
    drawn = int(rng.integers(len(views)))
    centre, spread = views[drawn if view is None else view]
    pose = Pose(
        yaw=float(centre + rng.uniform(-spread, spread)),
        pitch=float(rng.uniform(*camera.pitch)),
        roll=float(rng.normal(0, camera.roll)),
        phase=float(rng.uniform(0, 2 * math.pi)),
        perspective=camera.perspective,
    )
    fill = float(rng.uniform(*camera.fill))
    across, down = rng.normal(0, 1, 2) * camera.shift
    return Shot(
        pose=pose,
        fill=fill,
        centre=float(0.5 + across),
        foot=float(0.5 + 0.48 * fill + down),
        window=(float(rng.uniform()), float(rng.uniform())),
        gain=float(rng.uniform(*camera.gain)),
        slope=(float(rng.normal(0, camera.slope)), float(rng.normal(0, camera.slope))),
        blur=float(rng.uniform(*camera.blur)),
        noise=float(rng.uniform(*camera.noise)),
        quality=int(rng.integers(camera.quality[0], camera.quality[1] + 1)),
        occluder=_occluder(rng) if rng.uniform() < camera.occlusion else None,
        offsets=(float(rng.uniform()), float(rng.uniform())),
    )


def follow(shot: Shot, rng: np.random.Generator, frames: int) -> Shot:
    """Take the picture some frames later: the person walked on, the light stayed."""
    pose = dataclasses.replace(shot.pose, phase=shot.pose.phase + 0.45 * frames)
    left, down = shot.window
    return dataclasses.replace(
        shot,
        pose=pose,
        centre=shot.centre + float(rng.normal(0, 0.02)),
        window=((left + 0.004 * frames) % 1.0, down),
        offsets=(float(rng.uniform()), float(rng.uniform())),
    )


def _occluder(rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    """Draw a post, or something low, in widths and heights of the picture."""
    level = float(rng.uniform(0.1, 0.8))
    if rng.uniform() < 0.4:
        left = float(rng.uniform(0.1, 0.8))
        return (left, 0.0, left + float(rng.uniform(0.05, 0.14)), 1.0, level)
    left, top = float(rng.uniform(-0.3, 0.5)), float(rng.uniform(0.62, 0.85))
    return (left, top, left + float(rng.uniform(0.4, 0.9)), 1.0, level)
