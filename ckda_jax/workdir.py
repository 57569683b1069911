"""The run directory as an entry point meets it: new, to be continued, or refused."""

import dataclasses
import json
import os
import re
import tempfile
from pathlib import Path

from ml_collections import ConfigDict

from ckda_jax import config as config_lib
from ckda_jax.engine.origin import Lineage
from ckda_jax.files import write_json, write_text
from ckda_jax.structs import InputError

CONFIG = "config.json"
LINEAGE = "lineage.json"

FREE = re.compile(
    r"data\.(workers|threads|cache|roots\..*)|report\..*|compile_cache"
    r"|train\.(log_every|checkpoint_every|keep_checkpoints)"
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
    source, wanted = read_lineage(workdir).init_from, lineage.init_from
    if source != wanted:
        lines.append(f"--init-from: {source or 'none'} -> {wanted or 'none'}")
    if lines:
        listed = "\n  ".join(lines)
        raise InputError(
            f"{workdir} holds a run of another configuration; give another --workdir or "
            f"undo the difference:\n  {listed}"
        )


def claim(workdir: Path, config: ConfigDict, lineage: Lineage) -> None:
    """Write down what the run is, so that running it again goes on with it."""
    write_text(workdir / CONFIG, config_lib.to_json(config))
    write_json(workdir / LINEAGE, dataclasses.asdict(lineage))


def read_lineage(workdir: Path) -> Lineage:
    """Read what the run of a directory goes on from."""
    path = workdir / LINEAGE
    return Lineage(**json.loads(path.read_text())) if path.exists() else Lineage()


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
