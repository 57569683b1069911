"""The wardrobe: measures of garments and of hair that a body is dressed with."""

from typing import NamedTuple

Mark = tuple[float, float, float]
"""A place about the head's centre, in its radii: up, ahead, to the person's left."""


class Upper(NamedTuple):
    """An upper garment.

    Attributes:
        bulk: how much thicker it makes its wearer.
        hem: its lower edge, from the hip joints up.
        flare: how much wider it hangs there.
        sleeve: its length, in upper arms; 2 reaches the wrist.
        collar: half width, height and thickness of what stands round the neck.
    """

    bulk: float = 1.0
    hem: float = -0.045
    flare: float = 1.04
    sleeve: float = 2.0
    collar: tuple[float, float, float] | None = None


class Lower(NamedTuple):
    """A lower garment.

    Attributes:
        thigh, knee, ankle: radii of the legs in it, of an average person.
        bare: whether the legs themselves are bare.
        skirt: how far it hangs from the hip joints (0: it has legs) and how much wider.
    """

    thigh: float = 0.058
    knee: float = 0.04
    ankle: float = 0.024
    bare: bool = False
    skirt: tuple[float, float] = (0.0, 1.0)


class Lock(NamedTuple):
    """A piece of hair between two places, and its radii, in radii of the head.

    Attributes:
        where: `top` lies over the head, `back` behind the face and before the nape.
    """

    where: str
    first: Mark
    last: Mark
    radii: tuple[float, float]


UPPERS = {
    "tank": Upper(sleeve=0.0),
    "tee": Upper(hem=-0.01, sleeve=0.62),
    "shirt": Upper(),
    "hoodie": Upper(bulk=1.1, collar=(0.04, 0.02, 0.05)),
    "jacket": Upper(bulk=1.1),
    "coat": Upper(bulk=1.14, hem=-0.21, flare=1.22, collar=(0.03, 0.015, 0.03)),
    "puffer": Upper(bulk=1.3, hem=-0.02, collar=(0.03, 0.015, 0.042)),
}
LOWERS = {
    "slim": Lower(knee=0.036, ankle=0.026),
    "wide": Lower(thigh=0.067, knee=0.06, ankle=0.062),
    "joggers": Lower(thigh=0.064, knee=0.05, ankle=0.03),
    "shorts": Lower(bare=True),
    "skirt": Lower(bare=True, skirt=(0.17, 1.42)),
    "long skirt": Lower(bare=True, skirt=(0.39, 1.5)),
}
_CROWN = Lock("top", (0.62, 0.12, 0.0), (0.62, -0.3, 0.0), (0.58, 0.58))
HAIRCUTS = {
    "bald": (),
    "short": (_CROWN,),
    "bob": (
        _CROWN,
        *(
            Lock("back", (0.2, -0.2, side), (-0.85, -0.25, side), (0.42, 0.4))
            for side in (-0.8, 0.8, 0.0)
        ),
    ),
    "long": (
        _CROWN,
        *(
            Lock("back", (0.2, -0.3, side), (-2.7, -0.75, side), (0.45, 0.4))
            for side in (-0.75, 0.75, 0.0)
        ),
    ),
    "ponytail": (
        _CROWN,
        Lock("back", (0.35, -1.0, 0.0), (-0.2, -1.5, 0.0), (0.3, 0.34)),
        Lock("back", (-0.2, -1.5, 0.0), (-2.0, -1.3, 0.0), (0.34, 0.14)),
    ),
    "bun": (_CROWN, Lock("top", (1.15, -0.6, 0.0), (1.2, -0.65, 0.0), (0.5, 0.5))),
    "afro": (
        _CROWN,
        Lock("back", (0.5, -0.35, 0.0), (0.1, -0.4, 0.0), (1.4, 1.3)),
        Lock("top", (0.85, -0.1, -0.5), (0.85, -0.1, 0.5), (0.6, 0.6)),
    ),
    "cap": (
        _CROWN,
        Lock("top", (0.5, 0.6, 0.0), (0.42, 1.5, 0.0), (0.2, 0.16)),
        Lock("top", (0.5, 0.5, -0.6), (0.5, 0.5, 0.6), (0.22, 0.22)),
    ),
}
