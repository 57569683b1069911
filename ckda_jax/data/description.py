"""The command `describe`: a dataset in numbers, with or without its images."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from ckda_jax.data import catalog
from ckda_jax.data.command import Command
from ckda_jax.data.counts import Counts, Description, describe
from ckda_jax.data.dataset import (
    EVERY,
    PUBLISHED,
    Names,
    Options,
    check_modalities,
)
from ckda_jax.data.protocol import Protocol
from ckda_jax.data.tracks import SHORTEST
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.structs import MODALITIES, InputError, Records

TRIALS = 10
"""Splits of RegDB."""

WIDE = 240
"""Columns of a table that is written to a file."""

LEGEND = (
    "valid: queries that a right image is left for once the scoring rule has taken its"
    " own out of the gallery; affected: queries that it takes anything from\n"
)

REMOVALS = {name: rule.removal for name, rule in RULES.items()}


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which dataset is meant."""
    names = ", ".join(catalog.SURVEYS)
    parser.add_argument("name", metavar="NAME", help=f"of the dataset: {names}")
    parser.add_argument("--root", required=True, help="its folder, or the table")
    parser.add_argument(
        "--modalities",
        nargs="+",
        default=MODALITIES,
        metavar="NAME",
        help="of a folder or a table: config.modalities",
    )
    parser.add_argument("--trial", type=int, default=1, help="split of RegDB, 1 to 10")
    parser.add_argument(
        "--permutations",
        default="",
        metavar="FILE",
        help="rand_perm_cam.mat of SYSU-MM01, if not in its exp/",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def options_of(given: argparse.Namespace) -> Options:
    """Turn these arguments into what is asked of a loader."""
    if not 1 <= given.trial <= TRIALS:
        raise InputError(f"--trial {given.trial}: RegDB has trials 1 to {TRIALS}")
    check_modalities(given.modalities, f"--modalities {' '.join(given.modalities)}")
    return Options(
        trial=given.trial,
        permutations=given.permutations,
        modalities=tuple(given.modalities),
        protocols=(EVERY,),
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument(
        "--index-only",
        action="store_true",
        help="read index files alone: the images need not be there",
    )


def _run(given: argparse.Namespace) -> int:
    options = options_of(given)
    survey = catalog.survey(
        given.name, given.root, options, index_only=given.index_only
    )
    description = describe(survey, REMOVALS)
    sentences = {
        name: sentence(p, survey.names) for name, p in survey.protocols.items()
    }
    root = os.path.abspath(Path(given.root).expanduser())
    if given.json:
        said = as_json(description, sentences, survey.names)
        print(json.dumps({"name": given.name, "root": root, **said}, indent=1))
    else:
        show(f"{given.name}  {root}", description, sentences, survey.names)
    return 0


def as_json(
    description: Description, sentences: dict[str, str], names: Names = PUBLISHED
) -> dict[str, Any]:
    """Turn a description into what JSON can hold; `null` for what is not counted."""
    return {
        "splits": {
            split: {name: _counts(own, names) for name, own in modalities.items()}
            for split, modalities in description.splits.items()
        },
        "protocols": {
            name: {**size._asdict(), "description": sentences[name]}
            for name, size in description.protocols.items()
        },
    }


def _counts(counts: Counts, names: Names) -> dict[str, Any]:
    filmed = counts.cameras.items()
    cameras = {_camera(number, names): camera._asdict() for number, camera in filmed}
    return {**counts._asdict(), "cameras": cameras}


def _camera(number: int, names: Names) -> str:
    name = names.camera(number)
    return "unknown" if name is None else str(name)


def show(
    title: str,
    description: Description,
    sentences: dict[str, str],
    names: Names = PUBLISHED,
) -> None:
    """Print a description as two tables and a line for each protocol."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDE, highlight=False)
    console.print(title, markup=False, soft_wrap=True)
    console.print(_split_table(description, names))
    console.print(_protocol_table(description))
    console.print(LEGEND, markup=False, soft_wrap=True)
    for name, text in sentences.items():
        console.print(f"{name}: {text}", markup=False, soft_wrap=True)


def _split_table(description: Description, names: Names) -> Table:
    every = [c for pair in description.splits.values() for c in pair.values()]
    tracked = any(counts.tracklets for counts in every)
    columns = ["identities", "images"]
    columns += ["tracklets", f"of {SHORTEST} frames or more"] if tracked else []
    table = _table(["split", "modality"], *columns)
    thing = "tracklets" if tracked else "images"
    table.add_column(f"{thing} of each camera", justify="left")
    for split, modalities in description.splits.items():
        for modality, counts in modalities.items():
            numbers = [counts.identities, counts.images]
            numbers += [counts.tracklets, counts.long_tracklets] if tracked else []
            filmed = "  ".join(
                f"{_camera(camera, names)}:{getattr(seen, thing):,}"
                for camera, seen in counts.cameras.items()
            )
            table.add_row(split, modality, *map(_number, numbers), filmed)
    return table


def _protocol_table(description: Description) -> Table:
    table = _table(["protocol"], "queries", "gallery", "trials", "valid", "affected")
    for name, size in description.protocols.items():
        table.add_row(name, *map(_number, size))
    return table


def _table(words: list[str], *numbers: str) -> Table:
    """Make an empty table of columns of words before columns of numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in words:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def sentence(protocol: Protocol, names: Names = PUBLISHED) -> str:
    """Say in a line what a protocol searches for, where, and how it is scored."""
    trial, rule = protocol.each_trial()[0], RULES[protocol.rule]
    thing = "tracklet" if protocol.pooled else "image"
    query = _side(protocol.items(protocol.query).take(trial.query), thing, names)
    gallery = _side(protocol.items(protocol.gallery).take(trial.gallery), thing, names)
    said = (rule.removal.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return f"{query} in {gallery}. {said}; {rule.cmc} CMC."


def _side(records: Records, thing: str, names: Names) -> str:
    """Describe the queries or the gallery of a trial."""
    modalities = " and ".join(
        names.modality(m) for m in sorted(set(records.modality.tolist()))
    )
    groups = np.stack([records.identity, records.camera])
    most = max(np.unique(groups, axis=1, return_counts=True)[1].tolist(), default=0)
    each = f"one {thing}" if most == 1 else f"up to {most} {thing}s"
    numbers = sorted(set(records.camera.tolist()))
    named = ", ".join(_camera(number, names) for number in numbers)
    cameras = named if names.cameras or numbers[:1] == [-1] else _ranges(numbers)
    return f"{modalities} (cameras {cameras}: {each} of an identity under each)"


def _ranges(numbers: list[int]) -> str:
    """Write ascending numbers, more than two in a row as a range.

    >>> _ranges([1, 2, 4, 5, 6, 9])
    '1, 2, 4-6, 9'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    written = [
        [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(number) for number in run]
        for run in runs
    ]
    return ", ".join(text for texts in written for text in texts)


COMMAND = Command(
    "print how many identities, images, tracklets and queries a dataset has",
    _arguments,
    _run,
)
