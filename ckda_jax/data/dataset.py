"""The dataset: training images, protocols, and what its identities must satisfy."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ckda_jax.data.layout import name_some
from ckda_jax.data.protocol import LIFELONG, Protocol
from ckda_jax.structs import INFRARED, MODALITIES, VISIBLE, InputError, Records

EVERY = "all"
"""Asks for every protocol."""

GALLERIES = ("seeded", "permutation")
"""How SYSU-MM01's galleries are drawn: by Python's generator, seeded with the trial, as
most published code does, or by the permutations that the dataset's authors publish."""


OWN_RULES = ("auto", "standard", "own-camera")
"""How own datasets are scored: every gallery image counts, or all but those of the
query's identity and camera; `auto` is the second where it can be."""


_MODALITY = re.compile(r"[a-z0-9_]+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Names:
    """What the numbers in a dataset's tables stand for.

    Attributes:
        identities: name of each identity; empty where the numbers are the names.
        cameras: name of each camera; empty where the numbers are the names.
        modalities: name of each modality.
    """

    identities: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    modalities: tuple[str, ...] = MODALITIES

    def identity(self, number: int) -> str | int:
        """Name an identity.

        >>> Names().identity(7), Names(identities=("ann", "bob")).identity(1)
        (7, 'bob')
        """
        return self.identities[number] if self.identities else number

    def camera(self, number: int) -> str | int | None:
        """Name a camera; None for an unknown one."""
        if number < 0:
            return None
        return self.cameras[number] if self.cameras else number

    def modality(self, number: int) -> str:
        """Name a modality."""
        return self.modalities[number]


PUBLISHED = Names()
"""The published datasets number identities and cameras, and have two modalities."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset as it lies on disk.

    Attributes:
        name: its key in the catalog, or what the user calls it.
        root: its folder.
        train: training images; every identity is in every modality that any is in.
        protocols: those asked for, by name, the one of the lifelong table first.
        resize_train: name of the resize chain of training images.
        resize_test: name of the resize chain of query and gallery images.
        drawn_from: every image that a gallery of another seed could show; None where
            nothing is drawn.
        names: what identities, cameras and modalities are called.
    """

    name: str
    root: Path
    train: Records
    protocols: dict[str, Protocol]
    resize_train: str
    resize_test: str
    drawn_from: Records | None = None
    names: Names = PUBLISHED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may ask of every loader; `build.limits` says what values may be.

    Attributes:
        trial: RegDB's split, 1 to 10; the other datasets have one split.
        seed: of the galleries that are drawn.
        max_identities: training identities kept, the first in label order; 0: all.
        resample: `direct` resizes once; `reference` as the released code does, which
            resizes RegDB and HITSZ-VCM more than once.
        protocols: names of those to make, `all` for every one of the dataset.
        galleries: a name in `GALLERIES`, for the published protocols of SYSU-MM01.
        permutations: file `rand_perm_cam.mat` of SYSU-MM01; "": in its `exp/`.
        modalities: names of the run's modalities, for own datasets.
        own_rule: how own datasets are scored, a name in `OWN_RULES`.
    """

    trial: int = 1
    seed: int = 0
    max_identities: int = 0
    resample: str = "direct"
    protocols: tuple[str, ...] = (LIFELONG,)
    galleries: str = "seeded"
    permutations: str = ""
    modalities: tuple[str, ...] = MODALITIES
    own_rule: str = "auto"

    def chosen(self, names: Iterable[str]) -> list[str]:
        """Keep the protocols asked for, of those that a dataset has.

        >>> Options(protocols=("lifelong", "all-single")).chosen(["lifelong", "x"])
        ['lifelong']
        """
        return [name for name in names if {name, EVERY} & {*self.protocols}]

    def chain(self, reference: str) -> str:
        """Name the resize chain, given the one the released code uses.

        >>> Options(resample="reference").chain("vcm"), Options().chain("vcm")
        ('vcm', 'lanczos')
        """
        return {"direct": "lanczos", "reference": reference}[self.resample]


def require_pairs(
    name: str,
    train: Records,
    names: Names = PUBLISHED,
    modalities: Iterable[int] = (VISIBLE, INFRARED),
) -> None:
    """Refuse training identities that were not seen in every modality.

    Args:
        name: of the dataset, for the message.
        train: its training images.
        names: of identities and modalities.
        modalities: those that every identity needs.

    Raises:
        InputError: no training image, or identities that lack a modality, by name.
    """
    if len(train) == 0:
        raise InputError(f"{name} has no training images; unpack it again")
    identities = set(train.identity.tolist())
    for modality in modalities:
        lacking = identities - set(train.identity[train.modality == modality].tolist())
        if lacking:
            raise InputError(
                f"{name}: no {names.modality(modality)} training images of identity"
                f" {name_some([*map(names.identity, sorted(lacking))])}; every identity"
                " needs every modality of the training images: add the images or take"
                " the identity out of them"
            )


def keep_identities(
    train: Records, count: int, order: Mapping[int, int] | None = None
) -> Records:
    """Keep the images of the first identities; all of them where the count is 0.

    Args:
        train: training images.
        count: identities to keep.
        order: position of each identity in label order; None: ascending identities.
    """
    if count == 0:
        return train
    key = None if order is None else order.__getitem__
    kept = sorted(set(train.identity.tolist()), key=key)[:count]
    return train.take(np.isin(train.identity, kept))


def require_answers(dataset: Dataset) -> None:
    """Refuse a dataset with a protocol in which no query can be found.

    Raises:
        InputError: an empty query or gallery, or no identity in both.
    """
    for protocol in dataset.protocols.values():
        where = f"{dataset.name}, protocol {protocol.name}"
        for part in ("query", "gallery"):
            if len(getattr(protocol, part)) == 0:
                raise InputError(
                    f"{where}: the {part} is empty in {dataset.root}; unpack the test"
                    " images or correct the test lists"
                )
        for query, gallery in protocol.each_trial():
            searched = protocol.items(protocol.query).identity[query]
            offered = protocol.items(protocol.gallery).identity[gallery]
            if not np.isin(searched, offered).any():
                raise InputError(
                    f"{where}: no identity is in both query and gallery, nothing can be"
                    " found; correct the test lists"
                )


def require_strangers(dataset: Dataset) -> None:
    """Refuse a dataset that tests with people whom it trains on.

    Raises:
        InputError: identities of the training images in a query or gallery.
    """
    learned = set(dataset.train.identity.tolist())
    for protocol in dataset.protocols.values():
        for part in ("query", "gallery"):
            known = learned & set(getattr(protocol, part).identity.tolist())
            if known:
                people = name_some([*map(dataset.names.identity, sorted(known))])
                raise InputError(
                    f"{dataset.name}, protocol {protocol.name}: the {part} shows"
                    f" identity {people} of the training images in"
                    f" {dataset.root}; correct the training or the test lists"
                )


def check_modalities(names: Sequence[str], said: str) -> None:
    """Refuse names that no modalities can have: they name folders and protocols.

    Args:
        names: in the order of the modality axis.
        said: where they were given, for the message.

    Raises:
        InputError: a name that is none, one name alone, or one twice.
    """
    odd = [name for name in names if not _MODALITY.fullmatch(name)]
    if odd:
        raise InputError(
            f"{said}: {odd[0]!r} is no name of a modality; use lower-case letters, "
            "digits and _"
        )
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"{said}: must be two different names or more")
