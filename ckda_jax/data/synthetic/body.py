"""The walking body: a mannequin with a person's shape, hair and clothes."""

import math

from ckda_jax.data.synthetic.figure import (
    ARM,
    BACK,
    FAR,
    FRONT,
    HEAD,
    LEG,
    SKIRT,
    TRUNK,
    Figure,
    Outline,
    Point,
    Pose,
    Row,
)
from ckda_jax.data.synthetic.people import (
    BAG,
    HAIR,
    LOWER,
    PANEL,
    SHOES,
    UPPER,
    Common,
)
from ckda_jax.data.synthetic.wardrobe import HAIRCUTS, LOWERS, UPPERS, Mark


def polygons(common: Common, pose: Pose) -> list[Outline]:
    """Pose a body and outline its parts.

    Args:
        common: the person's shape.
        pose: how it stands.

    Returns:
        Raster label and outline of each part, farthest first. Outlines are in units of
        stature: across from the body's axis, and up from the ground.
    """
    figure = Figure(pose)
    shoulders = 1 - 2 * common.head - 0.035
    _trunk(figure, common, shoulders)
    _skirt(figure, common)
    for side in (-1, 1):
        _leg(figure, common, side)
        _arm(figure, common, side, shoulders)
    _head(figure, common, shoulders)
    _BAGS[BAG[common.bag]](figure, common, shoulders)
    return figure.outlines()


def _trunk(figure: Figure, common: Common, top: float) -> None:
    """Add the upper garment without its sleeves, and its panel."""
    garment = UPPERS[UPPER[common.upper]]
    hip, bulk = common.leg, garment.bulk
    thick = 0.062 * common.girth * bulk
    shoulder = common.shoulder * bulk**0.5
    inset, width = (0.62, 0.84) if garment.sleeve == 0 else (0.8, 1.0)
    waist = bulk * max(0.8 * common.hip, 0.074 * common.girth)
    hem = bulk * garment.flare * max(common.hip, 0.078 * common.girth)
    heights = (
        (top + 0.012, 0.05, 0.6),
        (top, inset * shoulder, 0.75),
        (top - 0.03, width * shoulder, 0.95),
        (top - 0.11, 0.92 * shoulder, 1.12),
        ((top + hip) / 2 - 0.02, waist, 1.0),
        (hip + 0.01, common.hip * bulk, 1.08),
        (hip + garment.hem, hem, 0.08 + garment.flare),
    )
    lean = math.sin(common.lean)
    rows = [(y, (y - hip) * lean, across, thick * deep) for y, across, deep in heights]
    figure.trunk("upper", TRUNK, rows)
    _panel(figure, PANEL[common.panel], rows)


def _panel(figure: Figure, kind: str, rows: list[Row]) -> None:
    """Add the part of the upper garment that is of another material."""
    top, hem = rows[1][0], rows[-1][0]
    cuts = {
        "band": (top - 0.12, top - 0.155, top - 0.19),
        "hem": (hem + 0.075, hem + 0.03, hem),
        "yoke": (top, top - 0.03, top - 0.07),
    }
    if kind in cuts:
        figure.trunk("panel", TRUNK + 0.01, [_cut(rows, y) for y in cuts[kind]])
    elif kind == "open" and figure.nearness(0.0, 1.0) > -0.2:
        front = [(y, z + deep, 0.035, 0.0) for y, z, _, deep in rows[1:]]
        figure.trunk("panel", TRUNK + 0.01, front)


def _cut(rows: list[Row], height: float) -> Row:
    """Cut a trunk across at a height."""
    for (y, *upper), (below, *lower) in zip(rows, rows[1:], strict=False):
        if below <= height <= y:
            share = (y - height) / (y - below)
            z, across, deep = (
                a + (b - a) * share for a, b in zip(upper, lower, strict=True)
            )
            return (height, z, across, deep)
    return rows[-1]


def _skirt(figure: Figure, common: Common) -> None:
    """Add a skirt, or the seat of what has legs."""
    length, flare = LOWERS[LOWER[common.lower]].skirt
    hip, width, deep = common.leg, common.hip, 0.066 * common.girth
    rows = [(hip + 0.04, 0.0, 0.96 * width, deep)]
    rows.append((hip - 0.03, 0.0, 1.06 * width, 1.1 * deep))
    hem = (hip - length, 1.5 * deep) if length else (hip - 0.05, deep)
    rows.append((hem[0], 0.0, flare * width, hem[1]))
    figure.trunk("lower", SKIRT, rows)


def _leg(figure: Figure, common: Common, side: int) -> None:
    kind = LOWER[common.lower]
    garment = LOWERS[kind]
    half, girth = common.leg / 2, common.girth**0.5
    thigh, at_knee, at_ankle = (
        girth * r for r in (garment.thigh, garment.knee, garment.ankle)
    )
    swing = side * common.stride * math.sin(figure.pose.phase)
    bend = 1.3 * common.stride * max(0.0, side * math.cos(figure.pose.phase))
    hip = (side * common.hip / 2, common.leg, 0.0)
    knee = _along(hip, half, swing)
    ankle = _along(knee, 0.94 * half, swing - bend)
    region = "skin" if garment.bare else "lower"
    figure.limb(region, LEG, (hip, knee), thigh, at_knee)
    figure.limb(region, LEG, (knee, ankle), at_knee, at_ankle)
    if kind == "shorts":
        figure.limb("lower", LEG + 0.02, (hip, knee), 1.12 * thigh, 0.055 * girth)
    if SHOES[common.shoes] == "boots" and kind != "wide":
        shaft = _along(knee, half / 2, swing - bend)
        figure.limb("shoes", LEG + 0.01, (shaft, ankle), 0.038 * girth, 0.033)
    x, y, z = ankle
    pointing = swing - bend
    heel = (x, y - 0.008, z - 0.012)
    toes = (
        x,
        y - 0.012 - 0.06 * math.sin(pointing),
        z + 0.085 * math.cos(pointing),
    )
    figure.limb("shoes", LEG + 0.02, (heel, toes), 0.027, 0.02)


def _arm(figure: Figure, common: Common, side: int, top: float) -> None:
    garment = UPPERS[UPPER[common.upper]]
    bulk = garment.bulk * common.girth**0.5
    x = side * (common.shoulder * garment.bulk**0.5 - 0.012)
    layer = FAR if figure.nearness(x, 0.0) < -0.04 else ARM
    swing = common.lean - side * common.swing * math.sin(figure.pose.phase)
    bend = 0.15 + common.swing / 2
    joint = (x, top - 0.032, math.sin(common.lean) * (top - common.leg))
    elbow = _along(joint, common.arm / 2, swing, aside=side * 0.02)
    wrist = _along(elbow, 0.4 * common.arm, swing + bend, aside=side * 0.007)
    hand = _along(wrist, 0.03, swing + 0.3)
    sleeve = "panel" if PANEL[common.panel] == "sleeves" else "upper"
    cloth = sleeve if garment.sleeve > 1 else "skin"
    figure.limb(cloth, layer, (joint, elbow), 0.036 * bulk, 0.031 * bulk)
    figure.limb(cloth, layer, (elbow, wrist), 0.031 * bulk, 0.024 * bulk)
    figure.limb("skin", layer + 0.005, (wrist, hand), 0.018, 0.021)
    if 0 < garment.sleeve <= 1:
        cuff = _along(joint, garment.sleeve * common.arm / 2, swing, aside=side * 0.012)
        figure.limb(sleeve, layer + 0.01, (joint, cuff), 0.041 * bulk, 0.043 * bulk)


def _along(start: Point, length: float, angle: float, *, aside: float = 0.0) -> Point:
    """Walk down a limb that swings ahead by an angle and leans aside by a length."""
    x, y, z = start
    return (x + aside, y - length * math.cos(angle), z + length * math.sin(angle))


def _head(figure: Figure, common: Common, top: float) -> None:
    r = common.head
    axis = math.sin(common.lean) * (top - common.leg) + 0.012
    facing = figure.nearness(0.0, 1.0)

    def at(mark: Mark) -> Point:
        up, ahead, left = mark
        return (left * r, 1 - 1.12 * r + up * r, axis + ahead * r)

    figure.limb("skin", TRUNK + 0.02, (at((-0.6, 0.0, 0.0)), (0.0, top, axis)), 0.4 * r)
    face = (at((0.2, 0.1, 0.0)), at((-0.42, 0.16, 0.0)))
    figure.limb("skin", HEAD, face, 0.84 * r, 0.62 * r)
    if facing > 0.25:
        mouth = (at((-0.5, 0.8, -0.2)), at((-0.5, 0.8, 0.2)))
        figure.limb("face", HEAD + 0.3, mouth, 0.07 * r)
        for left in (-0.33, 0.33):
            eye = at((0.1, 0.86, left))
            figure.limb("face", HEAD + 0.3, (eye, eye), 0.1 * r)
    locks = HAIRCUTS[HAIR[common.hair]]
    if locks:
        nape = (at((0.34, -0.2, 0.0)), at((-0.05, -0.34, 0.0)))
        behind = HEAD + (0.004 if facing < 0.5 else -0.004)
        figure.limb("hair", behind, nape, 0.88 * r, 0.72 * r)
    layers = {"top": HEAD + 0.2, "back": HEAD + 0.25 if facing < 0 else FRONT - 0.3}
    for where, first, last, radii in locks:
        ends = (at(first), at(last))
        figure.limb("hair", layers[where], ends, radii[0] * r, radii[1] * r)
    _collar(figure, common, (top, axis, facing))


def _collar(figure: Figure, common: Common, neck: tuple[float, float, float]) -> None:
    """Add a collar; a hood lies on the back, over the head's lower edge from behind."""
    kind = UPPER[common.upper]
    top, axis, facing = neck
    collar = UPPERS[kind].collar
    if collar is None:
        return
    half, rise, radius = collar
    layer, z = FRONT - 0.2, axis
    if kind == "hoodie":
        layer, z = HEAD + 0.22 if facing < 0 else FRONT - 0.4, axis - 0.06
    figure.limb("upper", layer, ((-half, top + rise, z), (half, top + rise, z)), radius)


def _backpack(figure: Figure, common: Common, top: float) -> None:
    deep = 0.06 * common.girth
    behind = figure.nearness(0.0, -1.0)
    z = -deep - 0.055
    rows = [
        (top - 0.015, z, 0.05, 0.03),
        (top - 0.05, z, 0.085, 0.055),
        (top - 0.22, z - 0.01, 0.092, 0.065),
        (top - 0.26, z, 0.075, 0.05),
    ]
    figure.trunk("bag", FRONT if behind > 0 else BACK, rows)
    if behind < 0.2:
        for x in (-0.065, 0.065):
            strap = ((x, top, deep * 0.8), (x * 1.1, top - 0.2, deep * 1.1))
            figure.limb("bag", TRUNK + 0.03, strap, 0.012)


def _shoulder_bag(figure: Figure, common: Common, top: float) -> None:
    x, y, z = common.hip + 0.035, common.leg + 0.02, 0.06 * common.girth
    strap = ((-common.shoulder / 2, top, z), (x * 0.9, y + 0.03, z))
    figure.limb("bag", TRUNK + 0.03, strap, 0.011)
    layer = FRONT if figure.nearness(x, 0.0) > -0.05 else BACK
    figure.limb("bag", layer, ((x, y, -0.06), (x, y, 0.06)), 0.062)


def _handbag(figure: Figure, common: Common, top: float) -> None:
    x, y = -common.shoulder - 0.03, top - common.arm - 0.09
    layer = FRONT if figure.nearness(x, 0.0) > -0.05 else BACK
    figure.limb("bag", layer, ((x, y, -0.055), (x, y, 0.055)), 0.052)
    figure.limb("bag", layer, ((x, y + 0.1, 0.0), (x, y, 0.0)), 0.014)


def _trolley(figure: Figure, common: Common, top: float) -> None:
    x, z = common.shoulder + 0.03, -0.16
    layer = FRONT if figure.nearness(x, z) > 0 else BACK
    rows = [(0.27, z, 0.06, 0.045), (0.25, z, 0.07, 0.055), (0.03, z, 0.07, 0.055)]
    figure.trunk("bag", layer, rows, x)
    figure.limb("bag", layer, ((x, top - 0.4, -0.02), (x, 0.25, z)), 0.01)


_BAGS = {
    "none": lambda figure, common, top: None,
    "backpack": _backpack,
    "shoulder bag": _shoulder_bag,
    "handbag": _handbag,
    "trolley": _trolley,
}
