"""Recovery: which checkpoint a run goes on from, whatever became of the others."""

from collections.abc import Callable

from ckda_jax.engine.manifest import Damage
from ckda_jax.engine.shelf import DAMAGED, Position, Shelf
from ckda_jax.structs import InputError

BACKUP = "restore that file from a backup"


def recover(
    shelf: Shelf, first: int, *, strict: bool, warn: Callable[[str], None]
) -> Position | None:
    """Find the newest checkpoint that is whole, and set aside what is newer.

    Every byte of what the run goes on from is read: a state inside a stage, and what
    the stage before left behind, which is its teacher and its memory.

    Args:
        shelf: the checkpoints.
        first: 0-based stage that the run begins with.
        strict: refuse where the newest is damaged.
        warn: told in a line of every checkpoint that is passed over.

    Returns:
        Where the run goes on; None for a run without checkpoints.

    Raises:
        InputError: no checkpoint is whole, the newest is not although it must be, or
            what the stage before left behind is damaged.
        OSError: one cannot be read now; it is left where it is.
    """
    for folder in shelf.junk():
        warn(f"{folder} holds no checkpoint; it does not count")
    damaged: dict[Position, str] = {}
    chosen = None
    for position in reversed(shelf.positions()):
        try:
            shelf.verify(position)
        except Damage as damage:
            damaged[position] = str(damage)
            continue
        chosen = position
        break
    if not damaged and chosen is None:
        return None
    _check(shelf, first, chosen, list(damaged.values()), strict)
    for position, reason in damaged.items():
        shelf.set_aside(position)
        warn(
            f"{reason}. GOING ON FROM {str(chosen).upper()} INSTEAD; the damaged "
            f"checkpoint is now in {shelf.root / DAMAGED}"
        )
    return chosen


def _check(
    shelf: Shelf, first: int, chosen: Position | None, reasons: list[str], strict: bool
) -> None:
    """Refuse what a run cannot or must not go on from."""
    run = shelf.root.parent
    if chosen is None:
        listed = "\n  ".join(reasons)
        raise InputError(
            f"{run}: all checkpoints are damaged, and a run does not begin anew by "
            f"itself; restore one from a backup, or give another --workdir:\n  {listed}"
        )
    if reasons and strict:
        raise InputError(
            f"{reasons[0]}; {BACKUP}, or leave --strict out to go on from {chosen}"
        )
    before = chosen.needs(first)
    if before is None:
        return
    try:
        shelf.verify(before)
    except Damage as damage:
        raise InputError(
            f"{damage}; {chosen} cannot go on without {before}: {BACKUP}, or move "
            f"away all checkpoints from {before} on to go on from an older one"
        ) from damage
