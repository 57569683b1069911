"""The dataset: training images, protocols, and what its identities must satisfy."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ckda_jax.data.layout import name_some
from ckda_jax.data.protocol import LIFELONG, Protocol
from ckda_jax.structs import MODALITIES, InputError, Records

EVERY = "all"
"""Asks for every protocol."""

GALLERIES = ("seeded", "permutation")
"""How SYSU-MM01's galleries are drawn: by Python's generator, seeded with the trial, as
most published code does, or by the permutations that the dataset's authors publish."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset as it lies on disk.

    Attributes:
        name: its key in the catalog.
        root: its folder.
        train: training images of both modalities; every identity has both.
        protocols: those asked for, by name, the one of the lifelong table first.
        resize_train: name of the resize chain of training images.
        resize_test: name of the resize chain of query and gallery images.
        drawn_from: every image that a gallery of another seed could show; None where
            nothing is drawn.
    """

    name: str
    root: Path
    train: Records
    protocols: dict[str, Protocol]
    resize_train: str
    resize_test: str
    drawn_from: Records | None = None


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
    """

    trial: int = 1
    seed: int = 0
    max_identities: int = 0
    resample: str = "direct"
    protocols: tuple[str, ...] = (LIFELONG,)
    galleries: str = "seeded"
    permutations: str = ""

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


def require_pairs(name: str, train: Records) -> None:
    """Refuse training identities that were not seen in every modality.

    Raises:
        InputError: no training image, or identities with one modality only, by number.
    """
    if len(train) == 0:
        raise InputError(f"{name} has no training images; unpack it again")
    identities = set(train.identity.tolist())
    for index, modality in enumerate(MODALITIES):
        lacking = identities - set(train.identity[train.modality == index].tolist())
        if lacking:
            raise InputError(
                f"{name}: no {modality} training images of identity"
                f" {name_some(sorted(lacking))}; every identity needs both modalities:"
                " add the images or take the identity out of the training lists"
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
                raise InputError(
                    f"{dataset.name}, protocol {protocol.name}: the {part} shows"
                    f" identity {name_some(sorted(known))} of the training images in"
                    f" {dataset.root}; correct the training or the test lists"
                )
