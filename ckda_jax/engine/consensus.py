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

LONGEST_ERROR = ROOM // 16
"""Characters of an error that are told to the others, of at most 12 bytes each."""


def of_main(question: Callable[[], Any]) -> Any:
    """Return what the main process finds, in JSON's types, in every process.

    A file system that processes share may show each another moment, so that what all
    must agree on is looked up by one. All processes call it at the same place. Whatever
    goes wrong in the main process, the others hear of it and do not wait.

    Raises:
        InputError: the question raised it in the main process.
        OSError: it raised anything else, which the main process itself raises as it
            is; or it has an answer of more than `ROOM`.
    """
    if jax.process_count() == 1:
        return question()
    message, failure = np.zeros(ROOM, np.uint8), None
    if jax.process_index() == 0:
        text, failure = _answer(question)
        message = np.frombuffer(text.ljust(ROOM), np.uint8)
    told = json.loads(bytes(multihost_utils.broadcast_one_to_all(message)))
    if failure is not None:
        raise failure
    if "error" in told:
        raise (InputError if told["is_input"] else OSError)(told["error"])
    return told["answer"]


def _answer(question: Callable[[], Any]) -> tuple[bytes, Exception | None]:
    """Ask; return what to tell, and the error that is to be raised afterwards."""
    try:
        text = json.dumps({"answer": question()}).encode()
        if len(text) > ROOM:
            raise OSError(
                f"{len(text)} bytes are more than the main process can tell the others "
                f"of what it found ({ROOM}); keep fewer checkpoints"
            )
        return text, None
    except Exception as error:
        is_input, reason = isinstance(error, InputError), str(error)[:LONGEST_ERROR]
        return json.dumps({"error": reason, "is_input": is_input}).encode(), error
