"""The table of a parity run: one row per quantity, with its error and verdict."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from jax.typing import ArrayLike

from ckda_jax.parity.tolerances import Kind, Tolerance

OK = "ok"
MISS = "MISS"
DIFFERENT = "different on purpose"
UNKNOWN = "NOT COMPARED"
FAILURES = (MISS, UNKNOWN)
PASSES = ("float64", "float32")
"""Types a parity run computes in; `-` stands for quantities that are not computed."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One quantity's verdict.

    Attributes:
        file: name of the recorded file.
        quantity: key of the file, or a family of keys.
        precision: `float64` or `float32`, what ours was computed in; `-` for neither.
        error: largest error in the tolerance's measure; None where nothing is compared.
        tolerance: what the error may be at most.
        verdict: one of `OK`, `MISS`, `DIFFERENT` and `UNKNOWN`.
        note: the worst member of a family, or the reason of a difference.
    """

    file: str
    quantity: str
    precision: str
    error: float | None
    tolerance: Tolerance | None
    verdict: str
    note: str = ""


def compared(
    where: tuple[str, str, str],
    ours: ArrayLike,
    theirs: ArrayLike,
    tolerance: Tolerance | Kind,
) -> Row:
    """Compare one array; `where` is (file, quantity, precision)."""
    return family(where, {"": (ours, theirs)}, tolerance)


def family(
    where: tuple[str, str, str],
    pairs: Mapping[str, tuple[ArrayLike, ArrayLike]],
    tolerance: Tolerance | Kind,
) -> Row:
    """Compare arrays that share a row, `name -> (ours, theirs)`; the worst is named.

    All of a family are recorded in the same type.
    """
    if not pairs:
        return unknown(where[0], where[1], "there is nothing of it in the file")
    if isinstance(tolerance, Kind):
        _, recorded = next(iter(pairs.values()))
        tolerance = tolerance.at(where[2], np.asarray(recorded))
    errors = {
        name: tolerance.error(np.asarray(ours), np.asarray(theirs))
        for name, (ours, theirs) in pairs.items()
    }
    worst = max(errors, key=lambda name: errors[name])
    verdict = OK if errors[worst] <= tolerance.limit else MISS
    return Row(*where, errors[worst], tolerance, verdict, worst)


def different(file: str, quantity: str, reason: str) -> Row:
    """State a quantity that is different on purpose, or means nothing to compare."""
    return Row(file, quantity, "-", None, None, DIFFERENT, reason)


def unknown(file: str, quantity: str, reason: str) -> Row:
    """State a quantity that nothing was done with."""
    return Row(file, quantity, "-", None, None, UNKNOWN, reason)


def failures(rows: Iterable[Row]) -> list[Row]:
    """Pick the rows that make a run fail."""
    return [row for row in rows if row.verdict in FAILURES]


def summary(rows: Iterable[Row]) -> str:
    """Count the verdicts in one line."""
    verdicts = [row.verdict for row in rows]
    counts = {v: verdicts.count(v) for v in (OK, DIFFERENT, MISS, UNKNOWN)}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def lines(rows: Iterable[Row]) -> list[str]:
    """Write rows as aligned lines of text, under a heading."""
    cells = [("file", "quantity", "type", "largest error", "tolerance", "verdict", "")]
    cells += [_cells(row) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(6)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(line, [*widths, 0], strict=True)).rstrip()
        for line in cells
    ]


def _cells(row: Row) -> tuple[str, ...]:
    error = "" if row.error is None else f"{row.error:.1e}"
    tolerance = "" if row.tolerance is None else str(row.tolerance)
    return (
        row.file,
        row.quantity,
        row.precision,
        error,
        tolerance,
        row.verdict,
        row.note,
    )
