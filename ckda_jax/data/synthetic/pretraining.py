"""Visible images of people and places that no site has, drawn on the fly."""

import dataclasses

import numpy as np
from jaxtyping import Int, UInt8

from ckda_jax.data.synthetic.camera import Camera, shoot
from ckda_jax.data.synthetic.people import Person, population, redressed
from ckda_jax.data.synthetic.picture import render
from ckda_jax.data.synthetic.sites import stray_cameras
from ckda_jax.data.synthetic.streams import stream

DOMAIN = "pretraining"
"""Name of the population; that of a site is the site's name, so nobody is shared."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crowd:
    """People and cameras to pretrain on; made by `crowd`."""

    seed: int
    people: list[Person]
    cameras: list[Camera]


def crowd(seed: int, *, identities: int, cameras: int = 128) -> Crowd:
    """Draw a population and colour cameras that no synthetic site has.

    Args:
        seed: of both.
        identities: number of people.
        cameras: number of cameras, each in a place of its own.
    """
    return Crowd(
        seed=seed,
        people=population(seed, range(identities), domain=DOMAIN),
        cameras=stray_cameras(seed, cameras),
    )


def pretraining_images(
    group: Crowd,
    labels: Int[np.ndarray, " b"],
    *,
    draw: int,
    size: tuple[int, int],
) -> UInt8[np.ndarray, "b h w 3"]:
    """Draw one visible image of each labelled person, with random cameras and poses.

    Every image shows other colours and patterns, so that only shape tells who it is.

    Args:
        group: people and cameras.
        labels: `[b]` numbers of people.
        draw: number of the batch: the same number gives the same images.
        size: height and width in pixels.

    Returns:
        `[b, h, w, 3]` images.
    """
    rng = stream(group.seed, DOMAIN, "draw", draw)
    images = []
    for label in labels.tolist():
        camera = group.cameras[int(rng.integers(len(group.cameras)))]
        shot = shoot(camera, rng)
        person = redressed(group.people[label], rng)
        images.append(render(person, shot, camera, seed=group.seed, size=size))
    return np.stack(images)
