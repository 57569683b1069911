"""The crowd: visible images of people and cameras that no site has, as a dataset.

No two images of a person show the same clothes; what they share is the shape.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from ckda_jax.data import synthetic
from ckda_jax.data.dataset import Dataset
from ckda_jax.data.protocol import Protocol
from ckda_jax.structs import VISIBLE, InputError, Records

NAME = "crowd"
RECORD = "crowd.json"
VERSION = 2
"""Of what a size gives; raised whenever the pictures change."""
CHAIN = "lanczos"
"""Resize chain; images drawn at the model's size are left as they are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrowdSize:
    """How large a crowd is, and what decides it.

    Attributes:
        seed: of people, cameras and chance.
        identities: people to learn.
        held_out: further people before the same cameras, for scoring.
        images: images of each person.
        cameras: cameras, each in a place of its own.
        height: of an image in pixels.
        width: of an image in pixels.

    Raises:
        InputError: a number that is too small.
    """

    seed: int
    identities: int
    held_out: int
    images: int
    cameras: int
    height: int
    width: int

    def __post_init__(self) -> None:
        least = {"seed": 0, "identities": 2, "held_out": 2, "images": 2, "cameras": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise InputError(
                    f"crowd.{name} = {getattr(self, name)} is too small; "
                    f"give {value} or more"
                )


def write_crowd(
    root: Path,
    size: CrowdSize,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Draw a crowd into a folder, or find it already drawn there.

    The same size gives the same images. They are drawn in a folder beside `root`, which
    is renamed when complete.

    Args:
        root: folder to make.
        size: what to draw.
        progress: called with the numbers of people drawn and of all people.

    Returns:
        The people to learn as training images, all visible, and one protocol,
        `visible-to-visible`, among the others: the first image of each person is the
        query, the rest are the gallery.

    Raises:
        InputError: `root` holds something else, or cannot be written.
    """
    if not _complete(root, size):
        draft = root.with_name(f".{root.name}.partial")
        try:
            shutil.rmtree(draft, ignore_errors=True)
            _draw(draft, size, progress)
            (draft / RECORD).write_text(json.dumps(_record(size), indent=1) + "\n")
            draft.replace(root)
        except OSError as error:
            raise InputError(
                f"cannot draw a crowd into {root}: {error}; choose a folder that can "
                "be written and has room"
            ) from error
    return _dataset(root, size)


def shapes(size: CrowdSize) -> Float[np.ndarray, "k a"]:
    """Describe the shape of everybody to be learned, as `Common.vector` lays it out."""
    group = synthetic.crowd(size.seed, identities=size.identities, cameras=1)
    return np.stack([person.common.vector() for person in group.people])


def _record(size: CrowdSize) -> dict[str, int]:
    return {"version": VERSION, **dataclasses.asdict(size)}


def _complete(root: Path, size: CrowdSize) -> bool:
    """Tell whether the very crowd stands already; refuse anything else that stands."""
    if not root.exists():
        return False
    try:
        found = json.loads((root / RECORD).read_text())
    except (OSError, ValueError):
        found = None
    if found != _record(size):
        raise InputError(
            f"{root} holds something other than the crowd asked for ({found}); remove "
            "it or choose another folder"
        )
    return True


def _draw(
    folder: Path, size: CrowdSize, progress: Callable[[int, int], None] | None
) -> None:
    people = size.identities + size.held_out
    group = synthetic.crowd(size.seed, identities=people, cameras=size.cameras)
    folder.mkdir(parents=True)
    for person in range(people):
        labels = np.full(size.images, person)
        images = synthetic.pretraining_images(
            group, labels, draw=person, size=(size.height, size.width)
        )
        for number, image in enumerate(images):
            Image.fromarray(image).save(_path(folder, person, number))
        if progress is not None:
            progress(person + 1, people)


def _path(folder: Path, person: int, number: int) -> Path:
    return folder / f"{person:05d}_{number:03d}.png"


def _dataset(root: Path, size: CrowdSize) -> Dataset:
    learned = np.arange(size.identities)
    others = np.arange(size.identities, size.identities + size.held_out)
    everything = np.arange(size.images)
    protocol = Protocol(
        name="visible-to-visible",
        query=_records(root, others, everything[:1]),
        gallery=_records(root, others, everything[1:]),
        rule="standard",
    )
    return Dataset(
        name=NAME,
        root=root,
        train=_records(root, learned, everything),
        protocols={protocol.name: protocol},
        resize_train=CHAIN,
        resize_test=CHAIN,
    )


def _records(root: Path, people: np.ndarray, numbers: np.ndarray) -> Records:
    """List images of people; which camera took one is not written down."""
    identity = np.repeat(people, len(numbers))
    number = np.tile(numbers, len(people))
    pairs = zip(identity.tolist(), number.tolist(), strict=True)
    unknown = np.full(len(identity), -1, np.int32)
    return Records(
        paths=np.array([str(_path(root, i, n)) for i, n in pairs]),
        identity=identity.astype(np.int64),
        modality=np.full(len(identity), VISIBLE, np.int8),
        camera=unknown,
        tracklet=unknown,
    )
