"""The run directory as an entry point meets it: new, to be continued, or refused."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

from ckda_jax import config as config_lib
from ckda_jax.engine import origin
from ckda_jax.engine.origin import Lineage, Origin
from ckda_jax.files import write_json, write_text
from ckda_jax.structs import InputError

CONFIG = "config.json"
LINEAGE = "lineage.json"

FREE = re.compile(
    r"data\.(workers|threads|cache|roots\..*)|report\..*|compile_cache"
    r"|train\.(log_every|gradients_every|checkpoint_every|keep_checkpoints)"
)
"""Keys that may change when a run goes on: they have no influence on its numbers."""


def check(workdir: Path, config: ConfigDict, lineage: Lineage) -> None:
    """Refuse a run directory that this run cannot write to or go on in; write nothing.

    Raises:
        InputError: the directory cannot be written, or holds a run of another config.
    """
    _check_writable(workdir)
    if not (workdir / CONFIG).exists():
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


def claim(workdir: Path, config: ConfigDict, lineage: Lineage) -> None:
    """Write down what the run is, so that running it again goes on with it.

    Files that a killed run was writing are taken away.
    """
    for pattern in (".*.tmp", "*/.*.tmp"):
        for unfinished in workdir.glob(pattern):
            unfinished.unlink(missing_ok=True)
    # The config last: where it is, a run is, so the rest must be there already.
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
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Lineage(**{**values, "learned": tuple(values["learned"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); restore the file or start a new run"
        ) from error


def read_origin(workdir: Path) -> Origin:
    """Read what a finished run left behind, to extend it.

    Its last evaluation must be complete: the results of the run that extends it start
    with a copy of them, in which a gap would stay.

    Raises:
        InputError: no run, or one that is not finished.
    """
    before = origin.read(workdir)
    config = config_lib.from_json(workdir / CONFIG)
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
    return before


@contextlib.contextmanager
def untouched_if_refused(workdir: Path) -> Iterator[None]:
    """Take away what was written into a run directory when an InputError is raised."""
    before = set(workdir.iterdir()) if workdir.is_dir() else set()
    absent = [path for path in (workdir, *workdir.parents) if not path.exists()]
    try:
        yield
    except InputError:
        for path in set(workdir.glob("*")) - before:
            shutil.rmtree(path, ignore_errors=True)
        for path in absent:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


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


def _check_writable(workdir: Path) -> None:
    existing = workdir
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"--workdir {workdir}: {existing} is a file; give a directory")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(
            f"--workdir {workdir} cannot be written ({os.strerror(error.errno or 0)}); "
            "give a directory of yours"
        ) from error
