"""Randomness: every key of a run is derived here from the run key, and nowhere else."""

import zlib

import jax
from jaxtyping import Array, Int, Key

Scalar = int | Int[Array, ""]


def stream(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """Derive the key of a named stream; the name, not a position, decides.

    >>> import jax
    >>> key = jax.random.key(0)
    >>> bool(stream(key, "dropout") == stream(key, "dropout"))
    True
    >>> bool(stream(key, "dropout") == stream(key, "erasing"))
    False
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def at_stage(key: Key[Array, ""], stage: Scalar) -> Key[Array, ""]:
    """Derive the key of a stage from the run key."""
    return jax.random.fold_in(key, stage)


def at_step(key: Key[Array, ""], *, stage: Scalar, step: Scalar) -> Key[Array, ""]:
    """Derive the key of one step of one stage from the run key.

    A function of its arguments alone, so a resumed run draws what an unbroken one does.
    """
    return jax.random.fold_in(stream(at_stage(key, stage), "step"), step)
