"""Own datasets: from a list of images with names to a dataset with protocols."""

import difflib
import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.dataset import (
    Dataset,
    Names,
    Options,
    keep_identities,
    require_pairs,
)
from ckda_jax.data.protocol import LIFELONG, Protocol
from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import Survey
from ckda_jax.structs import InputError, Records

SPLITS = ("train", "test", "query", "gallery")
"""What an image may be for; `test` is both of the last two."""

UNKNOWN = -1
"""Number of a camera that is not known."""

CHAIN = "lanczos"
"""Resize chain of own images."""

ABBREVIATED = 0.4
"""How alike `ir` and `infrared` are, by the measure of `nearest`."""


class Entry(NamedTuple):
    """One image of an own dataset, as its owner describes it.

    Attributes:
        path: relative to the dataset's root.
        split: one of `SPLITS`.
        modality: position on the modality axis.
        identity: name of the person.
        camera: name; "" where it is not known.
        tracklet: name, which only needs to differ within the identity's images of one
            split, modality and camera; "" for a single image.
        frame: place in the tracklet, in natural order.
    """

    path: str
    split: str
    modality: int
    identity: str
    camera: str = ""
    tracklet: str = ""
    frame: str = ""


class Pair(NamedTuple):
    """The modalities of a search: of its queries and of its gallery."""

    query: int
    gallery: int


def assemble(
    name: str, root: Path, entries: Sequence[Entry], options: Options
) -> Dataset:
    """Number what has names, and make the protocols.

    Identities and cameras are numbered in natural order of their names, over all
    splits.

    Args:
        name: of the dataset.
        root: the folder that paths are relative to.
        entries: its images.
        options: what is asked of it.

    Raises:
        InputError: a training identity that lacks a modality, a wrong mix of splits, or
            nobody to search for in another modality.
    """
    names = _names(entries, options)
    problem = problem_of_splits({entry.split for entry in entries})
    if problem:
        raise InputError(f"{name}: {root} {problem}; add what is missing")
    train = _records(root, [e for e in entries if e.split == "train"], names)
    if len(train):
        require_pairs(name, train, names, np.unique(train.modality).tolist())
    test = _by_tracklet([entry for entry in entries if entry.split != "train"])
    pooled = any(entry.tracklet for entry in test)
    query, gallery = (
        _records(root, [e for e in test if e.split in ("test", part)], names, pooled)
        for part in ("query", "gallery")
    )
    pairs = _pairs(query, gallery)
    if not pairs:
        raise InputError(
            f"{name}: no identity of the test images in {root} is shown in two "
            "modalities, nothing can be searched for; add images"
        )
    named = {LIFELONG: lifelong_pair(pairs)}
    named |= {pair_name(pair, options.modalities): pair for pair in pairs}
    protocols = {}
    for word in options.chosen(named):
        asked = query.take(query.modality == named[word].query)
        offered = gallery.take(gallery.modality == named[word].gallery)
        rule = rule_of(options.own_rule, asked, offered)
        protocols[word] = Protocol(
            name=word, query=asked, gallery=offered, rule=rule, pooled=pooled
        )
    return Dataset(
        name=name,
        root=root,
        train=keep_identities(train, options.max_identities),
        protocols=protocols,
        resize_train=CHAIN,
        resize_test=CHAIN,
        names=names,
    )


def survey(
    name: str,
    root: Path,
    entries: Sequence[Entry],
    options: Options,
    complain: Complain = stop,
) -> Survey:
    """List all entries, with the protocols that `assemble` makes of them.

    Queries and galleries are one split, `test`: they show the same people.

    Args:
        name: of the dataset.
        root: the folder that paths are relative to.
        entries: its images.
        options: what is asked of it.
        complain: told of what cannot be used; raises it unless given.
    """
    names = _names(entries, options)
    listed: dict[str, list[Entry]] = {"train": [], "test": []}
    for entry in entries:
        listed["train" if entry.split == "train" else "test"].append(entry)
    splits = {
        split: _records(root, own, names, any(e.tracklet for e in own))
        for split, own in listed.items()
        if own
    }
    train, protocols = _records(root, listed["train"], names), {}
    with told(complain):
        made = assemble(name, root, entries, options)
        train, protocols = made.train, made.protocols
    return Survey(splits=splits, train=train, protocols=protocols, names=names)


def _names(entries: Iterable[Entry], options: Options) -> Names:
    """Put the names of a dataset in order; a name's place is its number."""
    entries = list(entries)
    return Names(
        identities=_in_order(entry.identity for entry in entries),
        cameras=_in_order(entry.camera for entry in entries if entry.camera),
        modalities=options.modalities,
    )


def protocol_names(modalities: Sequence[str]) -> tuple[str, ...]:
    """Name the protocols that an own dataset may have, the lifelong table's first.

    >>> protocol_names(["visible", "infrared"])
    ('lifelong', 'visible-to-infrared', 'infrared-to-visible')
    """
    pairs = itertools.permutations(range(len(modalities)), 2)
    return (LIFELONG, *(pair_name(Pair(*pair), modalities) for pair in pairs))


def pair_name(pair: Pair, modalities: Sequence[str]) -> str:
    """Name the protocol of a pair.

    >>> pair_name(Pair(query=1, gallery=0), ["visible", "infrared"])
    'infrared-to-visible'
    """
    return f"{modalities[pair.query]}-to-{modalities[pair.gallery]}"


def lifelong_pair(pairs: Iterable[Pair]) -> Pair:
    """Choose the pair of the lifelong table: the second modality to the first.

    Where that is not among them, the nearest to it: a later modality to an earlier one,
    the earliest possible.

    >>> lifelong_pair([Pair(0, 1), Pair(0, 2), Pair(1, 0), Pair(2, 0)])
    Pair(query=1, gallery=0)
    >>> lifelong_pair([Pair(0, 2), Pair(2, 0)])
    Pair(query=2, gallery=0)
    """
    return min(pairs, key=lambda p: (p.query < p.gallery, p.gallery, p.query))


def rule_of(asked: str, query: Records, gallery: Records) -> str:
    """Name the scoring rule of a protocol.

    Args:
        asked: a name in `OWN_RULES`. `auto`: a gallery image of the query's identity
            and camera does not count, where all cameras are known and some query is
            left with a right image; else every image counts.
        query: images to search for.
        gallery: images to search in.
    """
    if asked != "auto":
        return asked
    known = (query.camera != UNKNOWN).all() and (gallery.camera != UNKNOWN).all()
    return "own-camera" if known and _seen_elsewhere(query, gallery) else "standard"


def problem_of_splits(splits: Collection[str]) -> str:
    """Say why splits are not `test`, nor `query` and `gallery`; "" where they are.

    >>> problem_of_splits(["train", "query"])
    'needs images of the split test, or of query and gallery, and has query'
    """
    tested = [split for split in SPLITS[1:] if split in splits]
    if tested in (["test"], ["query", "gallery"]):
        return ""
    found = " and ".join(tested) or "neither"
    return f"needs images of the split test, or of query and gallery, and has {found}"


def natural(name: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """Give the key that sorts names as people do: `p2` before `p10`.

    >>> sorted(["p10", "p2", "p02", "bob"], key=natural)
    ['bob', 'p02', 'p2', 'p10']
    """
    parts = re.split(r"(\d+)", name)
    # By length, then digits: as numbers, but of any length.
    numbers = [(len(p.lstrip("0")), p.lstrip("0")) for p in parts[1::2]]
    mixed = itertools.chain(*itertools.zip_longest(parts[::2], numbers))
    return tuple(part for part in mixed if part is not None), name


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Suggest the known word that a wrong one may stand for, if any is near.

    Args:
        word: the wrong one.
        known: the right ones.
        cutoff: how alike they must be, 0 to 1; `ABBREVIATED` is less than by default.

    >>> nearest("Infrared", ["visible", "infrared"]), nearest("ir", ["infrared"])
    (' (nearest: infrared)', '')
    >>> nearest("ir", ["infrared"], cutoff=ABBREVIATED)
    ' (nearest: infrared)'
    """
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=cutoff)
    return f" (nearest: {near[0]})" if near else ""


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names), key=natural))


def _by_tracklet(entries: list[Entry]) -> list[Entry]:
    """Put the frames of each tracklet one after another, in natural order.

    Tracklets stay in the order of their first frames.
    """
    place: dict[object, int] = {}
    places = [place.setdefault(_tracklet(entry), len(place)) for entry in entries]
    order = sorted(
        range(len(entries)), key=lambda i: (places[i], natural(entries[i].frame))
    )
    return [entries[i] for i in order]


def _tracklet(entry: Entry) -> object:
    """Identify the tracklet of an image; a single image is one of its own."""
    if not entry.tracklet:
        return entry.path
    return entry.split, entry.identity, entry.modality, entry.camera, entry.tracklet


def _records(
    root: Path, entries: list[Entry], names: Names, in_tracklets: bool = False
) -> Records:
    """Number the names in a list of images, and their tracklets if asked to."""
    identity = {known: number for number, known in enumerate(names.identities)}
    camera = {known: number for number, known in enumerate(names.cameras)}
    place: dict[object, int] = {}
    rows = []
    for e in entries:
        seen_by = camera.get(e.camera, UNKNOWN)
        row = Row(e.path, identity[e.identity], e.modality, seen_by)
        if in_tracklets:
            number = place.setdefault(_tracklet(e), len(place))
            row = row._replace(tracklet=number)
        rows.append(row)
    return as_records(root, rows)


def _pairs(query: Records, gallery: Records) -> list[Pair]:
    """List the modalities in which somebody can be searched for, and found."""
    asked, offered = _identities(query), _identities(gallery)
    return [
        Pair(q, g)
        for q, g in itertools.product(asked, offered)
        if q != g and asked[q] & offered[g]
    ]


def _identities(table: Records) -> dict[int, set[int]]:
    """Collect the identities that each modality shows, modalities in order."""
    return {
        m: set(table.identity[table.modality == m].tolist())
        for m in np.unique(table.modality).tolist()
    }


def _seen_elsewhere(query: Records, gallery: Records) -> bool:
    """Say whether some query's identity is in the gallery under another camera."""
    cameras: dict[int, set[int]] = {}
    shown = zip(gallery.identity.tolist(), gallery.camera.tolist(), strict=True)
    for identity, camera in shown:
        cameras.setdefault(identity, set()).add(camera)
    asked = zip(query.identity.tolist(), query.camera.tolist(), strict=True)
    return any(cameras.get(i, set()) - {c} for i, c in asked)
