"""The run directory as an entry point meets it: new, to be continued, or refused."""

import contextlib
import dataclasses
import datetime
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ckda_jax import build
from ckda_jax import config as config_lib
from ckda_jax.data.dataset import Dataset
from ckda_jax.engine import consensus, origin, results, tables
from ckda_jax.engine.origin import CHECKPOINTS, Lineage, Origin
from ckda_jax.engine.shelf import Shelf
from ckda_jax.engine.stage import Stage
from ckda_jax.engine.tables import Tables as Tables
from ckda_jax.files import CONFIG as CONFIG
from ckda_jax.files import DATA as DATA
from ckda_jax.files import EXAMPLES, RESULTS, write_json, write_text
from ckda_jax.locks import Held, always, exclusive
from ckda_jax.reporting.writer import TENSORBOARD
from ckda_jax.structs import InputError, Records

LINEAGE = "lineage.json"
DATA_CHANGES = "data_changes.json"
LOCK = ".run.lock"
FOLDERS = (TENSORBOARD, CHECKPOINTS, EXAMPLES)
"""What a run makes in its directory besides files."""

FREE = re.compile(
    r"data\.(workers|threads|cache|bad_images|own|roots\..*)|report\..*|compile_cache"
    r"|mesh\..*"
    r"|train\.(log_every|gradients_every|checkpoint_every|keep_checkpoints)"
    r"|train\.(skip_nonfinite|step_limit)"
)
"""Keys that may change when a run goes on: they have no influence on its numbers.

`data.bad_images` has none before an image goes bad, which ends a run without `skip`,
and `train.skip_nonfinite` none before a step that is not finite.
"""


def check(workdir: Path, config: ConfigDict, lineage: Lineage) -> None:
    """Refuse a run directory that this run cannot write to or go on in; write nothing.

    Raises:
        InputError: the directory cannot be written, or holds a run of another config
            or of one that is lost.
    """
    for folder in (workdir, *(workdir / name for name in FOLDERS)):
        _check_writable(workdir, folder)
    consensus.of_main(lambda: _check_run(workdir, config, lineage))


def _check_run(workdir: Path, config: ConfigDict, lineage: Lineage) -> None:
    """Refuse a run directory in which another run than this one was."""
    if not (workdir / CONFIG).exists():
        _check_unused(workdir)
        return
    old = config_lib.from_json(workdir / CONFIG)
    lines = config_lib.difference(old, config)
    lines = [line for line in lines if not FREE.fullmatch(line.split(":")[0])]
    lines += _lineage_difference(read_lineage(workdir), lineage)
    if lines:
        listed = "\n  ".join(lines)
        raise InputError(
            f"{workdir} holds a run of another configuration; give another --workdir "
            f"or undo the difference:\n  {listed}"
        )


def describe(stages: Sequence[Stage], datasets: Sequence[Dataset]) -> Tables:
    """Describe the images of a run by numbers and digests, whatever their root."""
    described = {
        f"stage {stage.index + 1}, {dataset.name}": _describe(dataset, dataset.train)
        for stage in stages
        for dataset in stage.datasets
    }
    for dataset in datasets:
        for protocol in dataset.protocols.values():
            name = f"{dataset.name} {protocol.name}"
            described[f"{name} query"] = _describe(dataset, protocol.query)
            described[f"{name} gallery"] = _describe(dataset, protocol.gallery)
    return described


def check_data(workdir: Path, found: Tables) -> None:
    """Refuse to go on in a run directory with other images than the run began with.

    Raises:
        InputError: the data differ, or what they were cannot be read.
    """
    lines = data_changes(workdir, found)
    if lines:
        listed = "\n  ".join(lines)
        raise InputError(
            f"{workdir} holds a run on other data; give another --workdir, restore the "
            "data, or train with --allow-data-change, which writes the difference "
            f"down:\n  {listed}"
        )


def data_changes(workdir: Path, found: Tables) -> list[str]:
    """Say how the images differ from those that a run began with, a line each.

    Raises:
        InputError: what they were cannot be read.
    """
    return consensus.of_main(lambda: _data_changes(workdir, found))


def _data_changes(workdir: Path, found: Tables) -> list[str]:
    path = workdir / DATA
    if not path.exists() or not (workdir / CONFIG).exists():
        return []
    return tables.difference(tables.read(path, found), found)


def record_changes(workdir: Path, lines: list[str]) -> None:
    """Add to a run directory's list of how its data changed, and when.

    Raises:
        InputError: the list cannot be read.
    """
    if not lines:
        return
    path = workdir / DATA_CHANGES
    changes = tables.read_json(path) if path.exists() else []
    if not isinstance(changes, list):
        raise tables.unreadable(path, "no list")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(path, [*changes, {"at": now, "changes": lines}])


def claim(
    workdir: Path, config: ConfigDict, lineage: Lineage, data: Tables | None = None
) -> None:
    """Write down what the run is, so that running it again goes on with it.

    Files that a killed run was writing are taken away.

    Args:
        workdir: the run directory.
        config: of the run.
        lineage: what it goes on from.
        data: what its images are; None for a run that draws its own.
    """
    with results.writing(workdir / RESULTS):  # `eval` may be recording
        for pattern in (".*.tmp", "*/.*.tmp"):
            for unfinished in workdir.glob(pattern):
                unfinished.unlink(missing_ok=True)
    # The config last: where it is, a run is, so the rest must be there already.
    if data is not None:
        write_json(workdir / DATA, data)
    write_json(workdir / LINEAGE, dataclasses.asdict(lineage))
    write_text(workdir / CONFIG, config_lib.to_json(config))


def read_lineage(workdir: Path) -> Lineage:
    """Read what the run of a directory goes on from.

    Raises:
        InputError: the file cannot be read.
    """
    path = workdir / LINEAGE
    if not path.exists():
        return Lineage()
    values = tables.read_json(path)
    try:
        tuples = {"modalities": (), **values}
        for name in ("learned", "modalities"):
            tuples[name] = tuple(tuples[name])
        return Lineage(**tuples)
    except (ValueError, TypeError, KeyError) as error:
        raise tables.unreadable(path, error) from error


def read_origin(workdir: Path) -> Origin:
    """Read what a finished run left behind, to extend it.

    Its last evaluation must be complete: the results of the run that extends it start
    with a copy of them, in which a gap would stay.

    Raises:
        InputError: no run, or one that is not finished.
    """
    before = origin.read(workdir)
    config = config_lib.read(workdir / CONFIG)
    evaluated = {
        row["dataset"]
        for row in before.results["evaluations"]
        if row["stage"] == before.stage and row["epoch"] is None
    }
    due = (*config.stages, *config.eval_only)
    missing = [name for name in due if name not in evaluated]
    if missing:
        raise InputError(
            f"{workdir}: stage {before.stage + 1}, its last one, is not evaluated on "
            f"{', '.join(missing)}; run its train command again, which makes up for it"
        )
    return dataclasses.replace(before, modalities=build.modalities(config))


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[Held]:
    """Keep every other run out of a run directory; of several processes, one does.

    The directory is made for its lock, and taken away if nothing else came into it.

    Yields:
        Asks whether it is still kept out, to be asked before something is written.

    Raises:
        InputError: another run is in it; all processes of this one end.
    """
    absent = [path for path in (workdir, *workdir.parents) if not path.exists()]
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_if_empty, absent)

        still_held = always

        def take() -> None:
            nonlocal still_held
            workdir.mkdir(parents=True, exist_ok=True)
            lock = exclusive(workdir / LOCK, f"--workdir {workdir}")
            still_held = stack.enter_context(lock)

        # The others must not wait for one that is refused and leaves.
        consensus.of_main(take)
        yield still_held


@contextlib.contextmanager
def untouched_if_refused(workdir: Path) -> Iterator[None]:
    """Take away what was written into a run directory when an InputError is raised."""
    before = set(workdir.iterdir()) if workdir.is_dir() else set()
    try:
        yield
    except InputError:
        for path in set(workdir.glob("*")) - before:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _remove_if_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _describe(dataset: Dataset, records: Records) -> dict[str, Any]:
    """Count a table's images and identities; digest paths, identities, modalities."""
    digest = hashlib.blake2b(digest_size=16)
    for path in records.paths.tolist():
        digest.update(path.removeprefix(f"{dataset.root}/").encode() + b"\0")
    digest.update(records.identity.tobytes() + records.modality.tobytes())
    identities = len(set(records.identity.tolist()))
    return {
        "identities": identities,
        "images": len(records),
        "digest": digest.hexdigest(),
    }


def _lineage_difference(old: Lineage, new: Lineage) -> list[str]:
    """Say how the runs differ that two runs go on from."""
    if old.init_from != new.init_from:
        return [f"--init-from: {old.init_from or 'none'} -> {new.init_from or 'none'}"]
    left, right = dataclasses.asdict(old), dataclasses.asdict(new)
    return [
        f"{name} of {old.init_from}: {left[name]} -> {right[name]}"
        for name in left
        if left[name] != right[name]
    ]


def _check_unused(workdir: Path) -> None:
    """Refuse results and checkpoints of which nobody knows what they are of."""
    left = [RESULTS] if (workdir / RESULTS).exists() else []
    left += [CHECKPOINTS] if Shelf(workdir / CHECKPOINTS).positions() else []
    if left:
        raise InputError(
            f"{workdir} holds {' and '.join(left)} of a run, but no {CONFIG}; restore "
            "that file, or give another --workdir"
        )


def _check_writable(workdir: Path, folder: Path) -> None:
    existing = folder
    while not existing.exists():
        if existing.is_symlink():
            raise InputError(
                f"--workdir {workdir}: {existing} is a link to nothing; make what it "
                "points to, or give another directory"
            )
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(
            f"--workdir {workdir}: {existing} is a file; give another directory"
        )
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(
            f"--workdir {workdir} cannot be written "
            f"({existing}: {os.strerror(error.errno or 0)}); give a directory of yours"
        ) from error
