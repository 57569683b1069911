"""A whole parity run: every file of a folder, in both float types."""

from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from ckda_jax.parity import (
    golden,
    losses,
    merging,
    metrics,
    model,
    positional,
    preprocessing,
    prompts,
    sampler,
    table,
    training,
    twins,
)
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.method import Weights
from ckda_jax.parity.table import PASSES, UNKNOWN, Row
from ckda_jax.parity.tolerances import DOUBLE
from ckda_jax.structs import InputError

Compare = Callable[..., list[Row]]

BY_SIZE: dict[str, Compare] = {
    "model_tiny.npz": model.compare,
    "prompts.npz": prompts.compare,
    "ema.npz": merging.compare,
}
"""Compared in both float types, with the sizes that model_tiny.npz states."""

ONCE: dict[str, Compare] = {
    "metrics.npz": metrics.compare,
    "posembed.npz": positional.compare,
    "transforms.npz": preprocessing.compare,
    "sampler.npz": sampler.compare,
}
"""Compared once, in the type that the product computes them in."""


def compare(folder: Path) -> Iterator[Row]:
    """Compare a folder of recorded outputs, row by row as they come.

    Raises:
        InputError: no folder, or a file that cannot be read.
    """
    files = golden.read_folder(folder)
    failed = set()
    for row in _compared(files):
        if row.verdict == UNKNOWN and row.quantity == "*":
            failed.add(row.file)
        yield row
    for file in files.values():
        for key in file.unread() if file.name not in failed else ():
            yield table.unknown(file.name, key, "nothing here reads it")
    for name in golden.other_files(folder):
        yield table.unknown(name, "*", "not a file of this format")


def _compared(files: dict[str, Golden]) -> Iterator[Row]:
    """Compare every file, the ones computed by a model in both float types."""
    for name, compare_file in ONCE.items():
        if name in files:
            yield from attempt(files[name], compare_file)
    for file in files.values():
        yield from attempt(file, twins.compare)
    for precision in PASSES:
        # Products of float32 as exact as they can be, on accelerators too.
        with (
            jax.enable_x64(precision == DOUBLE),
            jax.default_matmul_precision("highest"),
        ):
            rows = list(models(files, precision))
        yield from rows


def models(files: dict[str, Golden], precision: str) -> Iterator[Row]:
    """Compare what is computed by a model, in one float type."""
    weights = Weights()
    if "losses.npz" in files:
        weights = losses.weights(files["losses.npz"])
        yield from attempt(files["losses.npz"], losses.compare, precision)
    sized = [name for name in (*BY_SIZE, "train5.npz") if name in files]
    if not sized:
        return
    if "model_tiny.npz" not in files:
        raise InputError(
            f"model_tiny.npz is not in the folder and states the sizes for "
            f"{', '.join(sized)}; put it there"
        )
    sizes = golden.geometry(files["model_tiny.npz"])
    for name, compare_file in BY_SIZE.items():
        if name in files:
            yield from attempt(files[name], compare_file, sizes, precision)
    if "train5.npz" in files:
        yield from attempt(
            files["train5.npz"], training.compare, sizes, weights, precision
        )


def attempt(file: Golden, compare_file: Compare, *arguments: object) -> list[Row]:
    """Compare one file; what its arrays make fail becomes a row, not a traceback."""
    try:
        return compare_file(file, *arguments)
    except InputError:
        raise
    # An array of the wrong shape or type can fail anywhere below.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        return [table.unknown(file.name, "*", f"{type(error).__name__}: {reason}")]
