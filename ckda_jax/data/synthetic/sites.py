"""The four sites: which cameras each has, and how strongly they differ."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ckda_jax.data.synthetic.camera import YAW, Camera
from ckda_jax.data.synthetic.scene import KINDS
from ckda_jax.data.synthetic.streams import stream

NAMES = ("regdb", "sysu", "llcm", "vcm")

_REGDB = {
    # bright, soft daylight on a street; a thermal camera without detail
    "visible": Camera(
        infrared=False,
        scene="street",
        place="street",
        yaw="facing",
        pitch=(0.0, 0.06),
        fill=(0.84, 0.98),
        gain=(0.95, 1.25),
        gamma=0.85,
        cast=(0.92, 1.0, 1.1),
        saturation=1.15,
        blur=(0.9, 1.5),
        noise=(0.005, 0.02),
        slope=0.15,
    ),
    "infrared": Camera(
        infrared=True,
        scene="street",
        place="street",
        yaw="facing",
        pitch=(0.0, 0.06),
        fill=(0.84, 0.98),
        polarity="hot white",
        contrast=0.95,
        gain=(0.85, 1.1),
        blur=(1.4, 2.1),
        noise=(0.01, 0.025),
    ),
}
_SYSU_ROOM = Camera(
    infrared=False,
    scene="room",
    place="room 1",
    pitch=(0.08, 0.16),
    fill=(0.86, 1.0),
    perspective=0.12,
    cast=(1.12, 0.98, 0.74),
    gain=(0.8, 1.0),
    vignette=0.15,
    blur=(0.2, 0.5),
    noise=(0.015, 0.035),
    occlusion=0.15,
    quality=(70, 92),
)
_SYSU_OPEN = dataclasses.replace(
    _SYSU_ROOM,
    scene="gate",
    place="gate",
    pitch=(0.02, 0.12),
    cast=(1.06, 1.0, 0.86),
    saturation=1.35,
    gain=(0.95, 1.3),
    slope=0.3,
    vignette=0.0,
)
_SYSU_NEAR = Camera(
    infrared=True,
    scene="room",
    place="room 2",
    polarity="near",
    pitch=(0.05, 0.15),
    fill=(0.86, 1.0),
    perspective=0.12,
    gain=(1.0, 1.3),
    gamma=0.9,
    vignette=0.75,
    blur=(0.3, 0.7),
    noise=(0.05, 0.09),
    occlusion=0.15,
    quality=(65, 90),
)
_LLCM_DARK = Camera(
    infrared=False,
    scene="lobby",
    place="lobby",
    yaw="any",
    pitch=(0.42, 0.6),
    fill=(0.9, 1.12),
    shift=(0.06, 0.03),
    perspective=0.42,
    gain=(0.58, 0.9),
    gamma=1.1,
    cast=(1.1, 1.05, 0.6),
    saturation=0.85,
    vignette=0.35,
    blur=(0.2, 0.5),
    noise=(0.04, 0.075),
    occlusion=0.1,
    quality=(55, 80),
)
_LLCM_NEAR = dataclasses.replace(
    _LLCM_DARK,
    infrared=True,
    polarity="near",
    gain=(0.9, 1.15),
    gamma=0.7,
    cast=(1.0, 1.0, 1.0),
    contrast=0.8,
    lift=0.25,
    vignette=0.2,
    noise=(0.03, 0.05),
    lines=0.04,
)
_VCM_VISIBLE = Camera(
    infrared=False,
    scene="campus",
    place="campus",
    yaw="crossing",
    pitch=(0.12, 0.24),
    roll=0.06,
    fill=(0.74, 0.9),
    shift=(0.07, 0.03),
    perspective=0.08,
    gain=(0.8, 1.0),
    cast=(0.86, 0.98, 1.14),
    saturation=0.45,
    lift=0.25,
    blur=(0.6, 1.0),
    noise=(0.01, 0.02),
    occlusion=0.1,
    quality=(45, 75),
)
_VCM_INFRARED = dataclasses.replace(
    _VCM_VISIBLE,
    infrared=True,
    polarity="hot black",
    cast=(1.0, 1.0, 1.0),
    saturation=1.0,
    gain=(0.9, 1.1),
    lift=0.0,
    contrast=1.15,
    blur=(0.5, 0.9),
    noise=(0.015, 0.03),
    lines=0.02,
)


def cameras(site: str, seed: int) -> Mapping[tuple[bool, int], Camera]:
    """List a site's cameras.

    Args:
        site: name in `NAMES`.
        seed: of the world; cameras of one site differ moderately, by chance.

    Returns:
        Camera by (infrared?, number); numbers as the real dataset has them.
    """
    table = {"regdb": _regdb, "sysu": _sysu, "llcm": _llcm, "vcm": _vcm}[site]()
    return {
        key: _varied(camera, stream(seed, site, "camera", *map(int, key)))
        for key, camera in table.items()
    }


def _regdb() -> dict[tuple[bool, int], Camera]:
    return {(False, 1): _REGDB["visible"], (True, 1): _REGDB["infrared"]}


def _sysu() -> dict[tuple[bool, int], Camera]:
    replace = dataclasses.replace
    return {
        (False, 1): _SYSU_ROOM,
        (False, 2): replace(_SYSU_ROOM, place="room 2"),
        (True, 3): _SYSU_NEAR,
        (False, 4): _SYSU_OPEN,
        (False, 5): replace(_SYSU_OPEN, scene="garden", place="garden"),
        (True, 6): replace(_SYSU_NEAR, scene="gate", place="passage", gain=(0.8, 1.1)),
    }


def _llcm() -> dict[tuple[bool, int], Camera]:
    table = {}
    for number in range(1, 10):
        place = f"lobby {number}"
        table[False, number] = dataclasses.replace(_LLCM_DARK, place=place)
        if number != 3:
            table[True, number] = dataclasses.replace(_LLCM_NEAR, place=place)
    return table


def _vcm() -> dict[tuple[bool, int], Camera]:
    table = {}
    for number in range(1, 13):
        place = f"campus {number}"
        table[False, number] = dataclasses.replace(_VCM_VISIBLE, place=place)
        table[True, number] = dataclasses.replace(_VCM_INFRARED, place=place)
    return table


def _varied(camera: Camera, rng: np.random.Generator) -> Camera:
    """Change a camera a little, as two of the same make and site differ."""
    gain = rng.uniform(0.92, 1.08)
    red, green, blue = np.asarray(camera.cast) * rng.uniform(0.95, 1.05, 3)
    return dataclasses.replace(
        camera,
        gain=(camera.gain[0] * gain, camera.gain[1] * gain),
        gamma=camera.gamma * rng.uniform(0.95, 1.05),
        cast=(float(red), float(green), float(blue)),
        vignette=camera.vignette * rng.uniform(0.7, 1.3),
    )


def stray_cameras(seed: int, count: int) -> list[Camera]:
    """Draw colour cameras of no site, as varied as photographs from anywhere.

    Args:
        seed: of the cameras.
        count: how many.

    Returns:
        The cameras, each with a place of its own.
    """
    return [_stray(stream(seed, "stray camera", n), n) for n in range(count)]


def _stray(rng: np.random.Generator, number: int) -> Camera:
    pitch, fill = rng.uniform(0, 0.5), rng.uniform(0.65, 1.0)
    gain, blur, noise = (
        rng.uniform(0.55, 1.2),
        rng.uniform(0.1, 1.3),
        rng.uniform(0, 0.05),
    )
    red, green, blue = rng.uniform(0.75, 1.25, 3)
    return Camera(
        infrared=False,
        scene=str(rng.choice(list(KINDS))),
        place=f"stray {number}",
        yaw=str(rng.choice(list(YAW))),
        pitch=(pitch, pitch + 0.1),
        roll=0.04,
        fill=(fill, fill + 0.12),
        shift=(0.08, 0.03),
        perspective=rng.uniform(0, 0.4),
        occlusion=0.15,
        gain=(gain, gain + 0.25),
        gamma=rng.uniform(0.75, 1.25),
        lift=rng.uniform(0, 0.25),
        cast=(red, green, blue),
        saturation=rng.uniform(0.2, 1.4),
        vignette=rng.uniform(0, 0.4),
        slope=0.2,
        blur=(blur, blur + 0.3),
        noise=(noise, noise + 0.02),
        quality=(60, 95),
    )
