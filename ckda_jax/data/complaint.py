"""The complaint: what is wrong with an input, raised at once or gathered."""

import contextlib
from collections.abc import Callable, Iterator

from ckda_jax.structs import InputError

Complain = Callable[[InputError], None]
"""Is told what cannot be used; where it returns, the rest is looked at without it."""


def stop(error: InputError) -> None:
    """Raise the first complaint."""
    raise error


@contextlib.contextmanager
def told(complain: Complain) -> Iterator[None]:
    """Tell of what the body refuses, and go on behind it where that returns.

    >>> gathered = []
    >>> with told(gathered.append):
    ...     raise InputError("line 3 has no label")
    >>> gathered
    [InputError('line 3 has no label')]
    """
    try:
        yield
    except InputError as error:
        complain(error)
