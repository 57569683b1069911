"""What a synthetic dataset consists of, before any picture is drawn."""

import dataclasses

from ckda_jax.structs import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """How large a world is, per site.

    Attributes:
        identities: people to train on.
        test_identities: other people, to test on.
        images: of a person in one modality (RegDB always has 10, as the real one).
        shots: test images of a person and visible camera in SYSU-MM01, where galleries
            are drawn from them; 10 or more serve the multi-shot protocol.
        height: of the pictures in pixels; they are half as wide.
    """

    identities: int
    test_identities: int
    images: int
    shots: int = 10
    height: int = 128

    def __post_init__(self):
        least = {
            "identities": 4,
            "test_identities": 2,
            "images": 2,
            "shots": 1,
            "height": 16,
        }
        for name, low in least.items():
            value = getattr(self, name)
            if value < low:
                raise InputError(
                    f"{name} = {value} is too few for a synthetic world; give at least "
                    f"{low}"
                )
        if max(self.identities, self.test_identities) > 1000:
            raise InputError(
                f"{self.identities} + {self.test_identities} identities do not fit the "
                "four-digit names of the real layouts; give at most 1000 of each"
            )


SIZES = {
    "small": Size(identities=12, test_identities=8, images=4, shots=2),
    "medium": Size(identities=48, test_identities=24, images=8),
    "large": Size(identities=400, test_identities=200, images=16),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture to draw.

    Attributes:
        path: where, relative to the dataset's root.
        person: number in the site's population.
        camera: (infrared?, number).
        shot: number of the shot; pictures of one shot are frames of one passage.
        frame: how many frames into it.
        view: which of the camera's walking directions, where the name tells it.
    """

    path: str
    person: int
    camera: tuple[bool, int]
    shot: int
    frame: int = 0
    view: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """A dataset on paper.

    Attributes:
        folder: its name under the world's root, as the real one is called.
        pictures: all pictures to draw.
        texts: content of its index files by path.
        copies: path of a file and of the file it repeats, byte for byte.
        shrink: its picture height over the world's.
    """

    folder: str
    pictures: list[Picture]
    texts: dict[str, str]
    copies: dict[str, str] = dataclasses.field(default_factory=dict)
    shrink: float = 1.0
