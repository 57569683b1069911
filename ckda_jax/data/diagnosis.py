"""The diagnosis: what is wrong with a dataset, kind by kind, every case of it."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckda_jax.data.dataset import PUBLISHED, Names
from ckda_jax.data.inspection import Finding
from ckda_jax.data.layout import absent_images
from ckda_jax.data.survey import Survey
from ckda_jax.structs import VISIBLE, Records

TEST = "test"
"""The split of the queries and the galleries."""

SAME = 3
"""Names of one duplicate that are shown."""


class Section(NamedTuple):
    """What was found of one kind.

    Attributes:
        title: what was looked at.
        problems: a line each.
        notes: what is worth knowing, and no problem.
        picture: lines that show it.
    """

    title: str
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    picture: str = ""


class Listing(NamedTuple):
    """Every image of every split, in one table.

    Attributes:
        root: the dataset's folder.
        records: the images; one that two splits list has two rows.
        split: `[n]` str, the split of each row.
        names: what identities and modalities are called.
    """

    root: Path
    records: Records
    split: np.ndarray
    names: Names = PUBLISHED

    def take(self, rows: np.ndarray) -> "Listing":
        """Return the rows picked by an index array or a boolean mask."""
        return self._replace(records=self.records.take(rows), split=self.split[rows])

    def name(self, path: str) -> str:
        """Name an image as its index file does, relative to the root."""
        return path.removeprefix(f"{self.root}/")

    def paths(self) -> list[str]:
        """List the images, each once."""
        return list(dict.fromkeys(self.records.paths.tolist()))

    def modalities(self) -> list[int]:
        """List the modalities of the images."""
        return np.unique(self.records.modality).tolist()

    def splits(self) -> Iterator[tuple[str, Records]]:
        """Go through the splits."""
        for split in dict.fromkeys(self.split.tolist()):
            yield split, self.records.take(self.split == split)


def list_all(root: Path, survey: Survey) -> Listing:
    """Put the splits of a survey into one table."""
    return Listing(root, *survey.stack(), survey.names)


def find_missing(listing: Listing) -> tuple[Section, Listing]:
    """Look for every listed image; also return the listing of those that are there."""
    paths = listing.paths()
    absent = absent_images(listing.root, paths)
    others = _other_spellings(absent)
    problems = [
        f"{listing.name(path)} is missing"
        + (f"; rename {listing.name(others[path])}" if path in others else "")
        for path in absent
    ]
    there = listing.take(~np.isin(listing.records.paths, absent))
    notes = [f"{len(paths) - len(absent):,} of {len(paths):,} listed images are there"]
    if absent:
        every, lacking = (
            Counter(listing.name(path).split("/")[0] for path in some)
            for some in (paths, absent)
        )
        notes += [
            f"{n:,} of {every[top]:,} are missing from {top}/"
            for top, n in lacking.items()
        ]
    return Section("missing images", problems, notes), there


def find_unusable(
    listing: Listing, findings: Iterable[Finding]
) -> tuple[Section, dict[str, bytes]]:
    """Gather what inspections found; also return the digest of every image's file."""
    problems, digests, grey = [], {}, set()
    for finding in findings:
        digests[finding.path] = finding.digest
        if finding.problem:
            problems.append(f"{listing.name(finding.path)}: {finding.problem}")
        if finding.grey:
            grey.add(finding.path)
    strange, notes = _judge_grey(listing, grey)
    return Section("images", [*problems, *strange], notes), digests


def find_lonely(listing: Listing, modalities: Sequence[int]) -> Section:
    """Look for identities that a split does not show in every modality.

    Who is tested with may lack one: some are only there to be mistaken for others.
    """
    problems, notes = [], []
    for split, table in listing.splits():
        everyone = set(table.identity.tolist())
        said = notes if split == TEST else problems
        for modality in modalities:
            name = listing.names.modality(modality)
            seen = set(table.identity[table.modality == modality].tolist())
            if not seen:
                problems.append(f"{split}: there is no {name} image at all")
                continue
            lonely = map(listing.names.identity, sorted(everyone - seen))
            said += [f"{split}: identity {who} has no {name} image" for who in lonely]
    return Section("identities in one modality only", problems, notes)


def find_duplicates(listing: Listing, digests: Mapping[str, bytes]) -> Section:
    """Look for files of equal content in two splits, or of two identities."""
    rows: dict[bytes, list[int]] = defaultdict(list)
    for row, path in enumerate(listing.records.paths.tolist()):
        if digests.get(path):
            rows[digests[path]].append(row)
    across, between, within = [], [], 0
    for same in (group for group in rows.values() if len(group) > 1):
        if len(set(listing.split[same].tolist())) > 1:
            across.append(f"the same image in two splits: {_rows(listing, same)}")
        elif len(set(listing.records.identity[same].tolist())) > 1:
            between.append(f"the same image of two people: {_rows(listing, same)}")
        else:
            within += 1
    notes = ["compared by the digests of the files, not by their pixels"]
    if within:
        notes.append(f"{within:,} images have copies of the same person and split")
    return Section("duplicate images", [*across, *between], notes)


def find_known(listing: Listing) -> Section:
    """Look for identities that two splits share."""
    splits: dict[int, list[str]] = defaultdict(list)
    for split, table in listing.splits():
        for identity in np.unique(table.identity).tolist():
            splits[identity].append(split)
    who = listing.names.identity
    problems = [
        f"identity {who(identity)} is in {' and '.join(own)}; take it out of one"
        for identity, own in sorted(splits.items())
        if len(own) > 1
    ]
    return Section("identities in two splits", problems)


def _other_spellings(absent: Sequence[str]) -> dict[str, str]:
    """Find absent images that are there in another case or with another suffix."""
    stems: dict[str, dict[str, str]] = {}
    found = {}
    for path in absent:
        folder, name = os.path.split(path)
        if folder not in stems:
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            stems[folder] = {_stem(other): other for other in names}
        if _stem(name) in stems[folder]:
            found[path] = f"{folder}/{stems[folder][_stem(name)]}"
    return found


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].casefold()


def _judge_grey(listing: Listing, grey: set[str]) -> tuple[list[str], list[str]]:
    """Tell grey images that are out of place from a modality that has no colour."""
    problems, notes = [], []
    table = listing.records
    for modality in listing.modalities():
        own = list(dict.fromkeys(table.paths[table.modality == modality].tolist()))
        strange = [path for path in own if path in grey]
        name = listing.names.modality(modality)
        if strange and len(strange) == len(own) and modality != VISIBLE:
            notes.append(f"all {name} images are grey; each is read as three channels")
        else:
            problems += [
                f"{listing.name(path)}: grey among {name} images of three channels;"
                " convert the file, or take it out of the dataset"
                for path in strange
            ]
    return problems, notes


def _rows(listing: Listing, rows: Sequence[int]) -> str:
    """Name the first images of some rows, each with its split and identity."""
    table = listing.records
    named = [
        f"{listing.name(str(table.paths[row]))} ({listing.split[row]}, identity"
        f" {listing.names.identity(table.identity[row].item())})"
        for row in rows[:SAME]
    ]
    more = [f"and {len(rows) - SAME} more"] if len(rows) > SAME else []
    return ", ".join([*named, *more])
