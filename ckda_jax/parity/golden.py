"""A folder of recorded outputs: its files, and a ledger of what was read from them."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jax.typing import ArrayLike

from ckda_jax.engine.pretrained import read_npz
from ckda_jax.structs import INFRARED, VISIBLE, InputError

FILES = (
    "model_tiny.npz",
    "prompts.npz",
    "losses.npz",
    "train5.npz",
    "ema.npz",
    "metrics.npz",
    "posembed.npz",
    "transforms.npz",
    "sampler.npz",
)


@dataclasses.dataclass(frozen=True)
class Golden:
    """One recorded file; every key read is noted, so that none is passed over.

    Attributes:
        name: the file's name.
        arrays: everything in the file.
        read: keys taken so far.
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    read: set[str] = dataclasses.field(default_factory=set)

    def take(self, key: str) -> np.ndarray:
        """Read an array and note it.

        Raises:
            InputError: the file has no such array.
        """
        if key not in self.arrays:
            raise InputError(
                f"{self.name}: holds no {key!r}, which this format has; record it again"
            )
        self.read.add(key)
        return self.arrays[key]

    def expected(self, key: str) -> np.ndarray:
        """Read what the reference computed: the float64 twin where there is one.

        The float32 value of the same name, if any, is noted with it: errors are judged
        against float64.
        """
        twin = next((t for t in twins(key) if t in self.arrays), key)
        self.read.update({key} & self.arrays.keys())
        return self.take(twin)

    def names(self, prefix: str) -> list[str]:
        """List the keys below a prefix, without it, in the file's order."""
        return [k.removeprefix(prefix) for k in self.arrays if k.startswith(prefix)]

    def state(self, prefix: str) -> dict[str, np.ndarray]:
        """Read all arrays below a prefix, by the rest of their names."""
        return {name: self.take(prefix + name) for name in self.names(prefix)}

    def excuse(self, pattern: str) -> list[str]:
        """Note the keys that a regex matches, and return them."""
        keys = [key for key in self.arrays if re.fullmatch(pattern, key)]
        self.read.update(keys)
        return keys

    def unread(self) -> list[str]:
        """List the keys that nobody asked for."""
        return [key for key in self.arrays if key not in self.read]


def twins(key: str) -> tuple[str, ...]:
    """Name the places where the float64 twin of a key may be.

    >>> twins("nofold/loss/id")
    ('f64/nofold/loss/id', 'nofold/f64/loss/id', 'nofold_f64/loss/id')
    """
    case, _, quantity = key.partition("/")
    return (f"f64/{key}", f"{case}/f64/{quantity}", f"{case}_f64/{quantity}")


def read_folder(folder: Path) -> dict[str, Golden]:
    """Read every recorded file of a folder by its name.

    Raises:
        InputError: no such folder, nothing in it, or a damaged file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of recorded outputs")
    paths = [folder / name for name in FILES if (folder / name).exists()]
    if not paths:
        raise InputError(
            f"{folder}: holds none of {', '.join(FILES)}; give the folder they are in"
        )
    return {path.name: Golden(path.name, read_npz(path)) for path in paths}


def other_files(folder: Path) -> list[str]:
    """List what is in the folder besides the recorded files."""
    return sorted(path.name for path in folder.iterdir() if path.name not in FILES)


def absent_files(folder: Path) -> list[str]:
    """List the recorded files that the folder lacks."""
    return [name for name in FILES if not (folder / name).exists()]


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Sizes of the recorded model, which all files of a folder share."""

    image_size: tuple[int, int]
    patch_size: int
    stride: int
    width: int
    depth: int
    heads: int
    classes: int


def geometry(model: Golden) -> Geometry:
    """Read the sizes of the recorded model."""
    size = {name: int(value) for name, value in model.state("cfg/").items()}
    try:
        return Geometry(
            image_size=(size.pop("img_h"), size.pop("img_w")),
            patch_size=size.pop("patch"),
            stride=size.pop("stride"),
            width=size.pop("embed_dim"),
            depth=size.pop("depth"),
            heads=size.pop("num_heads"),
            classes=size.pop("num_classes"),
        )
    except KeyError as error:
        raise InputError(
            f"{model.name}: holds no cfg/{error.args[0]}; record it again"
        ) from None


@dataclasses.dataclass(frozen=True)
class Regrouping:
    """A batch of mixed modalities, sorted into `[m, b, ...]` and put back.

    The reference numbers infrared 0 and visible 1.
    """

    order: np.ndarray

    @classmethod
    def by(cls, modality: np.ndarray) -> "Regrouping":
        """Group rows by the reference's modality ids, visible first.

        Raises:
            InputError: unequal counts of the two modalities.
        """
        visible, infrared = np.flatnonzero(modality == 1), np.flatnonzero(modality == 0)
        if len(visible) != len(infrared) or 2 * len(visible) != len(modality):
            raise InputError(
                f"{len(visible)} visible and {len(infrared)} infrared rows of "
                f"{len(modality)}: batches hold as many of each"
            )
        rows: dict[int, np.ndarray] = {VISIBLE: visible, INFRARED: infrared}
        return cls(np.stack([rows[m] for m in sorted(rows)]))

    def group(self, rows: np.ndarray) -> np.ndarray:
        """Sort `[n, ...]` into `[m, b, ...]`."""
        return rows[self.order]

    def restore(self, grouped: ArrayLike) -> np.ndarray:
        """Put `[m, b, ...]` back into the order of the recording."""
        grouped = np.asarray(grouped)
        flat = grouped.reshape(-1, *grouped.shape[2:])
        return flat[np.argsort(self.order.reshape(-1))]


def channels_first(images: ArrayLike) -> np.ndarray:
    """Turn `[..., h, w, c]` into `[..., c, h, w]`."""
    return np.moveaxis(np.asarray(images), -1, -3)
