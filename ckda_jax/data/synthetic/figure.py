"""The figure: parts of a posed body, projected and cut into polygons.

Axes: x to the person's left, y up, z ahead; lengths in units of the person's stature.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from ckda_jax.data.synthetic.people import REGIONS

TONES = 3
"""Every region is drawn in a dark, a middle and a light tone."""
BACK, FAR, LEG, SKIRT, TRUNK, ARM, FRONT, HEAD = (k + 0.5 for k in range(8))
"""What is drawn over what; within a layer the nearer is drawn later."""
_ARC = np.linspace(-math.pi / 2, math.pi / 2, 7)

Point = tuple[float, float, float]
Row = tuple[float, float, float, float]
"""A cross-section of a trunk: height, z, half width, half depth."""
Outline = tuple[int, Float[np.ndarray, "p 2"]]
"""A polygon: its raster label, and its points across from the body's axis and up."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pose:
    """How a body stands before the camera; angles in radians.

    Attributes:
        yaw: 0 faces the camera, pi shows the back, pi / 2 walks to the image's right.
        pitch: how far the camera looks down.
        roll: of the image.
        phase: of the gait; two steps are 2 pi.
        perspective: how much larger the head's end is drawn than the feet's.
    """

    yaw: float
    pitch: float = 0.0
    roll: float = 0.0
    phase: float = 0.0
    perspective: float = 0.0


def label_of(region: str, tone: int) -> int:
    """Number the raster value of a region in a tone; 0 is left for the background.

    >>> label_of("skin", 0), label_of("face", 2)
    (1, 6)
    """
    return 1 + REGIONS.index(region) * TONES + tone


@dataclasses.dataclass
class Figure:
    """The parts of a posed body as they are collected: tapered limbs, and trunks."""

    pose: Pose
    limbs: list[tuple[float, ...]] = dataclasses.field(default_factory=list)
    trunks: list[tuple[float, str, list[Row], float]] = dataclasses.field(
        default_factory=list
    )

    def nearness(self, x: float, z: float) -> float:
        """Tell how much nearer to the camera than the body's axis a place is."""
        return z * math.cos(self.pose.yaw) - x * math.sin(self.pose.yaw)

    def limb(
        self,
        region: str,
        layer: float,
        ends: tuple[Point, Point],
        first: float,
        last: float | None = None,
    ) -> None:
        """Add a limb with a radius at its first end and one at its last."""
        a, b = ends
        near = self.nearness((a[0] + b[0]) / 2, (a[2] + b[2]) / 2)
        radii = (first, first if last is None else last)
        self.limbs.append((layer + near, label_of(region, 0), *a, *b, *radii))

    def trunk(
        self, region: str, layer: float, rows: list[Row], side: float = 0.0
    ) -> None:
        """Add a trunk by its cross-sections from the top, all `side` to the left."""
        self.trunks.append((layer, region, rows, side))

    def outlines(self) -> list[Outline]:
        """Cut the parts into polygons, farthest first; each is drawn in two tones."""
        limbs = np.asarray(self.limbs)
        outer, inner = _capsules(limbs, self.pose)
        parts = [
            # limbs on the far side are a tone darker
            (order, int(label) + (order >= LEG), [rim, core])
            for order, label, rim, core in zip(
                *limbs[:, :2].T.tolist(), outer, inner, strict=True
            )
        ]
        for order, region, rows, side in self.trunks:
            shapes = _sheets(np.asarray(rows), side, self.pose)
            parts.append((order, label_of(region, 1), shapes))
        parts.sort(key=lambda part: part[0])
        return [
            (label + step, shape)
            for _, label, shapes in parts
            for step, shape in enumerate(shapes)
        ]


def _capsules(limbs: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Outline tapered limbs `[n, 10]`, and the same drawn in, towards the light."""
    ends = _project(limbs[:, 2:8].reshape(-1, 2, 3), pose)
    radii = limbs[:, 8:10]
    axis = ends[:, 1] - ends[:, 0]
    heading = np.arctan2(axis[:, 1], axis[:, 0])
    angles = np.stack([heading[:, None] + math.pi + _ARC, heading[:, None] + _ARC], 1)
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    outer = ends[:, :, None] + radii[:, :, None, None] * circle
    shift = radii[:, :, None, None] * np.array([-0.14, 0.1])
    inner = ends[:, :, None] + shift + 0.72 * radii[:, :, None, None] * circle
    n = len(limbs)
    return outer.reshape(n, -1, 2), inner.reshape(n, -1, 2)


def _sheets(rows: np.ndarray, side: float, pose: Pose) -> list[np.ndarray]:
    """Outline a trunk `[rows, 4]`, and the same drawn in, towards the light."""
    y, z, across, deep = rows.T
    centre = _project(np.stack([np.full_like(y, side), y, z], 1), pose)
    half = np.hypot(across * math.cos(pose.yaw), deep * math.sin(pose.yaw))
    half = half * (1 + pose.perspective * (y - 0.5))
    offset = np.stack([half * math.cos(pose.roll), half * math.sin(pose.roll)], 1)
    shapes = []
    for share, shift in ((1.0, 0.0), (0.8, -0.06)):
        left, right = (
            centre + (shift - share) * offset,
            centre + (shift + share) * offset,
        )
        shapes.append(np.concatenate([left, right[::-1]]))
    return shapes


def _project(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Turn 3D points `[..., 3]` into image points `[..., 2]`: across, up."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    across = x * math.cos(pose.yaw) + z * math.sin(pose.yaw)
    depth = z * math.cos(pose.yaw) - x * math.sin(pose.yaw)
    across = across * (1 + pose.perspective * (y - 0.5))
    up = y * math.cos(pose.pitch) - depth * math.sin(pose.pitch)
    cos, sin = math.cos(pose.roll), math.sin(pose.roll)
    return np.stack([across * cos - up * sin, across * sin + up * cos], -1)
