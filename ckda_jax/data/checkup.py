"""The command `check`: all that is wrong with a dataset on disk, in one go."""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ckda_jax.data import catalog, diagnosis, folder, prepared, sysu
from ckda_jax.data.command import Command
from ckda_jax.data.complaint import told
from ckda_jax.data.counts import Description, describe, differences, total
from ckda_jax.data.dataset import Options
from ckda_jax.data.description import REMOVALS, add_dataset, options_of
from ckda_jax.data.diagnosis import Listing, Section
from ckda_jax.data.inspection import inspect_all
from ckda_jax.data.layout import draw, missing_entries
from ckda_jax.data.permutations import Permutations
from ckda_jax.data.progress import Progress
from ckda_jax.data.published import PUBLISHED
from ckda_jax.data.renaming import renamings
from ckda_jax.data.survey import Survey
from ckda_jax.structs import InputError

SHOWN = 20
"""Problems of one kind that are shown unless all are asked for."""


class Order(NamedTuple):
    """What is to be checked, and how.

    Attributes:
        name: of the dataset.
        root: its folder or table, absolute.
        options: as for its loader.
        threads: threads that read and decode.
        decode: look at more of the images than whether they can be read.
        strict: counts that differ from the published ones are problems.
        progress: called with the numbers of images looked at and of all.
    """

    name: str
    root: Path
    options: Options
    threads: int = 1
    decode: bool = True
    strict: bool = False
    progress: Callable[[int, int], None] | None = None


def examine(order: Order) -> Iterator[Section]:
    """Look at a dataset from its folders to its pixels; never stops at a problem."""
    missing: list[str] = []
    if order.name in catalog.LAYOUTS:
        tree, missing = _tree(order)
        yield tree
    elif order.root.is_dir():
        yield Section("tree", picture=folder.draw(order.root, order.options.modalities))
    lists, survey = _lists(order, missing)
    yield lists
    if survey is None or not any(map(len, survey.splits.values())):
        yield Section("images", notes=["none is listed; nothing else to look at"])
        return
    listing = diagnosis.list_all(catalog.folder_of(order.root), survey)
    absent, there = diagnosis.find_missing(listing)
    yield absent._replace(problems=[*_short(order, listing), *absent.problems])
    images, digests = diagnosis.find_unusable(there, _inspect(order, there))
    yield images if order.decode else images._replace(title="images, not decoded")
    yield diagnosis.find_lonely(there, listing.modalities())
    yield diagnosis.find_duplicates(there, digests)
    yield diagnosis.find_known(listing)
    found = describe(survey, REMOVALS)
    yield _protocols(found)
    yield _counts(order, found)


def _tree(order: Order) -> tuple[Section, list[str]]:
    """Compare the folder with the layout; also return what it lacks."""
    layout = catalog.LAYOUTS[order.name](order.options)
    missing = missing_entries(order.root, layout)
    problems = [f"{entry} is missing" for entry in missing]
    picture = draw(order.root, layout)
    return Section("tree", problems, renamings(order.root, layout), picture), missing


def _lists(order: Order, missing: Sequence[str]) -> tuple[Section, Survey | None]:
    """Read the index files; also return what they list, as far as they can be read."""
    said: list[InputError] = []
    survey = None
    with told(said.append), catalog.readable(order.name, order.root):
        read = catalog.SURVEYS[order.name]
        survey = read(order.root, order.options, said.append)
    known = tuple(f"{order.root}/{entry} " for entry in missing)
    lines = dict.fromkeys(str(error) for error in said)
    problems = [line for line in lines if not line.startswith(known)]
    return Section("index files", problems), survey


def _short(order: Order, listing: Listing) -> list[str]:
    """Count images by what SYSU-MM01 publishes; nothing else lists them."""
    file = sysu.permutation_file(order.root, order.options)
    if order.name != "sysu" or not (order.options.permutations or file.is_file()):
        return []
    said: list[InputError] = []
    with told(said.append):
        return Permutations(file).differences(listing.records)
    return [str(error) for error in said]


def _inspect(order: Order, there: Listing) -> Iterator:
    return inspect_all(
        there.paths(),
        threads=order.threads,
        decode=order.decode,
        progress=order.progress,
    )


def _protocols(found: Description) -> Section:
    problems = [
        f"protocol {name}: no query has a right image to find"
        for name, size in found.protocols.items()
        if not size.valid
    ]
    return Section("protocols", problems)


def _counts(order: Order, found: Description) -> Section:
    """Compare with the published counts, which not every copy has to have."""
    title = "counts against the published ones"
    if order.name not in PUBLISHED:
        return Section(title, notes=[f"none are published of {order.name}"])
    published = PUBLISHED[order.name]
    mine, theirs = total(found), total(published)
    if not order.strict and not theirs / 2 < mine < theirs * 2:
        note = (
            f"{mine:,} images where {theirs:,} are published: a subset or a synthetic"
            " world, not compared (--published does)"
        )
        return Section(title, notes=[note])
    lines = differences(found, published)
    if order.strict:
        return Section(title, lines)
    if not lines:
        return Section(title, notes=["they agree"])
    first = "they differ, as those of a subset may (problems under --published):"
    return Section(title, notes=[first, *lines])


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument(
        "--all", action="store_true", help=f"show all of a kind, not the first {SHOWN}"
    )
    parser.add_argument(
        "--no-decode", action="store_true", help="read every image, but decode none"
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="take counts that differ from the published ones for problems",
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="that decode"
    )


def _run(given: argparse.Namespace) -> int:
    order = _order(given)
    limit = None if given.all else SHOWN
    sections = []
    for section in examine(order):
        sections.append(section)
        if not given.json:
            _print(section, limit)
    count = sum(len(section.problems) for section in sections)
    if given.json:
        said = {"name": order.name, "root": str(order.root), "problems": count}
        kinds = [section._asdict() for section in sections]
        print(json.dumps({**said, "sections": kinds}, indent=1))
    else:
        print(f"{order.name} in {order.root}: {_number(count)}")
    return 1 if count else 0


def _order(given: argparse.Namespace) -> Order:
    catalog.check_name(given.name, catalog.SURVEYS)
    if given.threads < 1:
        raise InputError(f"--threads {given.threads}: at least 1 is needed")
    root = Path(os.path.abspath(Path(given.root).expanduser()))
    is_there, kind = root.is_dir, "folder"
    if given.name == "table":
        is_there, kind = root.is_file, "table"
    if not is_there():
        state = f"is not a {kind}" if root.exists() else "does not exist"
        raise InputError(f"--root {root} {state}; give the {kind} of the dataset")
    if prepared.above(root) is not None:
        raise InputError(
            f"--root {root} is prepared: its images have been decoded; give the folder"
            " that it was made of"
        )
    return Order(
        name=given.name,
        root=root,
        options=options_of(given),
        threads=given.threads,
        decode=not given.no_decode,
        strict=given.published,
        progress=Progress("checking", "images"),
    )


def _print(section: Section, limit: int | None) -> None:
    """Print a section: its problems marked, its notes not."""
    print(f"{section.title}: {_number(len(section.problems))}")
    for line in section.picture.splitlines():
        print(f"  {line}")
    for mark, lines in (("!", section.problems), ("-", section.notes)):
        for line in lines[:limit]:
            print(f"  {mark} {line}")
        if len(lines) > len(lines[:limit]):
            print(f"  {mark} ... and {len(lines) - len(lines[:limit]):,} more (--all)")
    print(flush=True)


def _number(count: int) -> str:
    return {0: "no problem", 1: "1 problem"}.get(count, f"{count:,} problems")


COMMAND = Command(
    "list all that is wrong with a dataset: folders, lists, images, people",
    _arguments,
    _run,
)
