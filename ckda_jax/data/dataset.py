"""The dataset: training images, protocols, and what its identities must satisfy."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckda_jax.data.layout import name_some
from ckda_jax.structs import MODALITIES, InputError, Records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What retrieval is measured on: which images are searched for, and where.

    Attributes:
        name: what reports call it, `infrared-to-visible` say.
        query: the images searched for.
        gallery: the images searched in, drawn already where the protocol draws them.
        rule: name of the scoring rule, a key of `ckda_jax.retrieval.protocols.RULES`.
    """

    name: str
    query: Records
    gallery: Records
    rule: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset as it lies on disk.

    Attributes:
        name: its key in the catalog.
        root: its folder.
        train: training images of both modalities; every identity has both.
        protocols: by name, the one of the lifelong table first.
        resize_train: name of the resize chain of training images.
        resize_test: name of the resize chain of query and gallery images.
    """

    name: str
    root: Path
    train: Records
    protocols: dict[str, Protocol]
    resize_train: str
    resize_test: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may ask of every loader; `build.limits` says what values may be.

    Attributes:
        trial: RegDB's split, 1 to 10; the other datasets have one split.
        seed: of the galleries that are drawn.
        max_identities: training identities kept, the first in label order; 0: all.
        resample: `direct` resizes once; `reference` as the released code does, which
            resizes RegDB and HITSZ-VCM more than once.
    """

    trial: int = 1
    seed: int = 0
    max_identities: int = 0
    resample: str = "direct"

    def chain(self, reference: str) -> str:
        """Name the resize chain, given the one the released code uses.

        >>> Options(resample="reference").chain("vcm"), Options().chain("vcm")
        ('vcm', 'lanczos')
        """
        return {"direct": "lanczos", "reference": reference}[self.resample]


class Row(NamedTuple):
    """One image, as a loader finds it."""

    path: str
    identity: int
    modality: int
    camera: int
    tracklet: int = -1


def as_records(root: Path, rows: Iterable[Row]) -> Records:
    """Turn rows whose paths are relative to the root into a table of absolute paths."""
    rows = list(rows)
    return Records(
        paths=np.array([f"{root}/{row.path}" for row in rows], dtype=np.str_),
        identity=np.array([row.identity for row in rows], dtype=np.int64),
        modality=np.array([row.modality for row in rows], dtype=np.int8),
        camera=np.array([row.camera for row in rows], dtype=np.int32),
        tracklet=np.array([row.tracklet for row in rows], dtype=np.int32),
    )


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
        if not np.isin(protocol.query.identity, protocol.gallery.identity).any():
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
