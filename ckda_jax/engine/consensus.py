"""What the main process finds out, told to the others of a run."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from ckda_jax.structs import InputError

ROOM = 2**16
"""Bytes that an answer may have as JSON."""

LONGEST_ERROR = ROOM // 8
"""Characters of an error that are told to the other processes."""


def of_main(question: Callable[[], Any]) -> Any:
    """Return what the main process finds, in JSON's types, in every process.

    A file system that processes share may show each another moment, so that what all
    must agree on is looked up by one. All processes call it at the same place.

    Raises:
        InputError: the question raised it, or an OSError, in the main process.
    """
    if jax.process_count() == 1:
        return question()
    message = np.zeros(ROOM, np.uint8)
    if jax.process_index() == 0:
        text = json.dumps(_answer(question)).encode().ljust(ROOM)
        message = np.frombuffer(text, np.uint8)
    told = json.loads(bytes(multihost_utils.broadcast_one_to_all(message)))
    if "error" in told:
        raise InputError(told["error"])
    return told["answer"]


def _answer(question: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"answer": question()}
    except (InputError, OSError) as error:
        return {"error": str(error)[:LONGEST_ERROR]}
