"""Synthetic people: what identifies a person, split by the modality that can see it."""

import colorsys
import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from ckda_jax.data.synthetic.streams import stream

HAIR = ("bald", "short", "bob", "long", "ponytail", "bun", "afro", "cap")
UPPER = ("tank", "tee", "shirt", "hoodie", "jacket", "coat", "puffer")
LOWER = ("slim", "wide", "joggers", "shorts", "skirt", "long skirt")
BAG = ("none", "backpack", "shoulder bag", "handbag", "trolley")
PANEL = ("none", "band", "yoke", "open", "sleeves", "hem")
SHOES = ("low", "boots")

REGIONS = ("skin", "face", "hair", "upper", "panel", "lower", "shoes", "bag", "sole")
"""What a pixel of a person can show; each has a colour and a heat."""
TEXTURES = ("plain", "hoops", "stripes", "checks")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Shape: what both modalities show. Lengths are in units of the person's stature.

    Attributes:
        leg: height of the hip joint.
        shoulder, hip: half widths of the trunk.
        girth: thickness of trunk and limbs, 1 for an average person.
        head: radius of the head.
        arm: length of the arm.
        stride, swing: how far legs and arms move while walking, in radians.
        lean: how far the trunk leans forward, in radians.
        hair, upper, lower, bag, panel, shoes: positions in the tables of these names; a
            panel is a part of the upper garment made of another material.
    """

    leg: float
    shoulder: float
    hip: float
    girth: float
    head: float
    arm: float
    stride: float
    swing: float
    lean: float
    hair: int
    upper: int
    lower: int
    bag: int
    panel: int
    shoes: int

    def vector(self) -> Float[np.ndarray, " d"]:
        """Lay the cues out as numbers: lengths scaled to 0..1, choices one-hot."""
        lengths = [
            (getattr(self, name) - low) / (high - low) for name, low, high in _LENGTHS
        ]
        choices = [
            np.eye(len(table))[getattr(self, name)] for name, table in _CHOICES.items()
        ]
        return np.concatenate([np.asarray(lengths), *choices])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Visible:
    """Colour: what only a colour camera shows.

    Attributes:
        colours: `[region, 3]` red, green, blue on the 0 to 1 scale.
        texture: pattern of the upper and of the lower garment, positions in `TEXTURES`.
        period: of the two patterns, in units of the stature.
        contrast: of the two patterns, 0 to 1.
    """

    colours: Float[np.ndarray, "r 3"]
    texture: tuple[int, int]
    period: tuple[float, float]
    contrast: tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Infrared:
    """Heat: what only an infrared camera shows.

    Attributes:
        heat: `[region]` emissivity (or near-infrared reflectance) on the 0 to 1 scale.
        waves: `[4, 4]` the heat map over the body: horizontal and vertical frequency in
            cycles per stature, phase in radians, amplitude.
    """

    heat: Float[np.ndarray, " r"]
    waves: Float[np.ndarray, "4 4"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person:
    """One identity; its three kinds of cues are drawn from independent streams."""

    common: Common
    visible: Visible
    infrared: Infrared


_LENGTHS = (
    ("leg", 0.46, 0.53),
    ("shoulder", 0.105, 0.145),
    ("hip", 0.08, 0.118),
    ("girth", 0.78, 1.45),
    ("head", 0.058, 0.073),
    ("arm", 0.36, 0.42),
    ("stride", 0.22, 0.52),
    ("swing", 0.12, 0.6),
    ("lean", -0.02, 0.1),
)
_CHOICES = {
    "hair": HAIR,
    "upper": UPPER,
    "lower": LOWER,
    "bag": BAG,
    "panel": PANEL,
    "shoes": SHOES,
}


CHOICES = tuple(len(table) for table in _CHOICES.values())
"""How many alternatives each choice of `Common.vector` has, in its order."""


def population(seed: int, numbers: Iterable[int], *, domain: str) -> list[Person]:
    """Draw people by number.

    Person `n` of a domain is the same whoever else is asked for; different domains
    (sites, or the population that a backbone is pretrained on) share nobody.

    Args:
        seed: of the population.
        numbers: which of its people.
        domain: name of the population, "regdb" say.

    Returns:
        One person for each number.
    """
    return [_person(seed, number, domain) for number in numbers]


def redressed(person: Person, rng: np.random.Generator) -> Person:
    """Give a person other colours and patterns; what an infrared camera sees stays."""
    return dataclasses.replace(person, visible=_visible(rng))


def _person(seed: int, number: int, domain: str) -> Person:
    return Person(
        common=_common(stream(seed, domain, "common", number)),
        visible=_visible(stream(seed, domain, "visible", number)),
        infrared=_infrared(stream(seed, domain, "infrared", number)),
    )


def _common(rng: np.random.Generator) -> Common:
    lengths = {name: float(rng.uniform(low, high)) for name, low, high in _LENGTHS}
    choices = {name: int(rng.integers(len(t))) for name, t in _CHOICES.items()}
    return Common(**lengths, **choices)


def _visible(rng: np.random.Generator) -> Visible:
    tone = rng.uniform()
    skin = (
        np.array([0.93, 0.74, 0.62]) * (1 - tone) + np.array([0.36, 0.22, 0.15]) * tone
    )
    hair = (
        np.array([0.75, 0.55, 0.3]) * rng.uniform(0.08, 1.0) * rng.uniform(0.7, 1.1, 3)
    )
    upper, lower, shoes, bag = (_garment_colour(rng) for _ in range(4))
    panel = _other_than(upper, rng)
    regions = [skin, skin * 0.55, hair.clip(0, 1), upper, panel, lower, shoes, bag]
    return Visible(
        colours=np.stack([*regions, shoes * 0.4]).astype(np.float32),
        texture=(int(rng.integers(len(TEXTURES))), int(rng.integers(len(TEXTURES)))),
        period=(float(rng.uniform(0.035, 0.1)), float(rng.uniform(0.035, 0.1))),
        contrast=(float(rng.uniform(0.25, 0.7)), float(rng.uniform(0.15, 0.45))),
    )


def _garment_colour(rng: np.random.Generator) -> np.ndarray:
    saturation = rng.choice([0.08, 0.5, 0.85]) * rng.uniform(0.6, 1.1)
    return np.asarray(
        colorsys.hsv_to_rgb(rng.uniform(), saturation, rng.uniform(0.12, 0.95))
    )


def _other_than(colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a garment colour that stands out from another one."""
    while True:
        other = _garment_colour(rng)
        if np.abs(other - colour).mean() > 0.25:
            return other


def _infrared(rng: np.random.Generator) -> Infrared:
    upper, lower, shoes, bag = rng.uniform(0.1, 0.9, 4)
    panel = (upper + rng.choice([-1, 1]) * rng.uniform(0.3, 0.5)) % 1.0
    skin, hair = rng.uniform(0.82, 1.0), rng.uniform(0.1, 0.6)
    heat = [skin, skin * 0.8, hair, upper, panel, lower, shoes, bag, shoes * 0.6]
    waves = np.stack(
        [
            rng.uniform(-5, 5, 4),
            rng.uniform(0.5, 6, 4),
            rng.uniform(0, 2 * np.pi, 4),
            rng.uniform(0.02, 0.09, 4),
        ]
    )
    return Infrared(heat=np.asarray(heat, np.float32), waves=waves.T.astype(np.float32))
