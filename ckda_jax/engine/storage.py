"""Storage: what Orbax and TensorStore raise when it fails, in one line of ours."""

import contextlib
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from ckda_jax.engine.manifest import Damage
from ckda_jax.files import refused
from ckda_jax.structs import InputError, Tree

LONGEST_CAUSE = 300
"""Characters of another library's error that are passed on."""

AFTERMATH = re.compile(
    "Event loop is closed"
    "|Encountered error while reading array index"
    # A file whose turn had not come.
    "|coroutine .* was never awaited"
)
"""How the errors begin that files still in work raise when another one failed."""

SYSTEM = re.compile(r"\[os_error_code='(\d+)'\]")
"""The number of the system's error, in the page that TensorStore makes of it."""


@contextlib.contextmanager
def reads(folder: Path) -> Iterator[None]:
    """Raise what is of other shapes or no checkpoint as an error that names a folder.

    Raises:
        InputError: with the first line of what Orbax says.
    """
    try:
        with _without_aftermath():
            yield
    except Exception as error:
        # Orbax and TensorStore raise nearly everything, page-long at times.
        cause = str(error).strip().partition("\n")[0][:LONGEST_CAUSE]
        raise InputError(
            f"{folder}: cannot be restored ({cause}); restore the files and data that "
            "the run began with, or give another --workdir"
        ) from error


@contextlib.contextmanager
def writes(folder: Path, clear: Callable[[], None]) -> Iterator[None]:
    """Raise what a file system refuses as an error that names a folder.

    Args:
        folder: below which is written.
        clear: removes what was written so far, if it can.

    Raises:
        OSError: with what the system said.
    """
    try:
        with _without_aftermath():
            yield
    # TensorStore raises ValueError for what the file system refuses.
    except (OSError, ValueError, Damage) as error:
        with contextlib.suppress(OSError):
            clear()
        text = " ".join(str(error).split())
        said = SYSTEM.search(text)
        cause = os.strerror(int(said[1])) if said else text[:LONGEST_CAUSE]
        raise refused(folder, cause) from error


@contextlib.contextmanager
def hides_nothing() -> Iterator[None]:
    """Print an error in place of raising it, where another one is under way."""
    earlier = sys.exception()
    try:
        yield
    except Exception as error:
        if earlier is None:
            raise
        first, _, _ = str(error).partition("\n")
        print(f"error: {first}", file=sys.stderr)


def check_room(arrays: Tree) -> None:
    """Refuse arrays that this machine cannot hold, whatever a file says they are.

    Args:
        arrays: their shapes and types.

    Raises:
        InputError: they take more than the machine's memory.
    """
    leaves = jax.tree.leaves(arrays)
    asked = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if asked > memory:
        raise InputError(
            f"its arrays take {asked / 2**30:.3g} GiB, and this machine has "
            f"{memory / 2**30:.3g}"
        )


@contextlib.contextmanager
def _without_aftermath() -> Iterator[None]:
    """Keep quiet about what goes on after an error when its event loop is closed."""
    before = sys.unraisablehook

    def quiet(unraisable: Any) -> None:
        if not AFTERMATH.match(str(unraisable.exc_value)):
            before(unraisable)

    sys.unraisablehook = quiet
    try:
        yield
    except Exception:
        warnings.filterwarnings("ignore", AFTERMATH.pattern, RuntimeWarning)
        raise
    # Not after an error, whose aftermath comes at any time.
    sys.unraisablehook = before
