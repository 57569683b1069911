"""What the main process finds out; of several processes in `tests/faults`."""

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from ckda_jax.engine.consensus import of_main
from ckda_jax.structs import InputError


def refuse():
    """Find something wrong."""
    raise InputError("the file is damaged")


@pytest.fixture
def told(monkeypatch):
    """Play the main process of two, then the other one, which hears what was sent."""
    sent = []

    def broadcast(message):
        if jax.process_index() == 0:
            sent.append(message)
        assert message.dtype == np.uint8 and message.shape == sent[0].shape
        return sent[0]

    def play(question):
        monkeypatch.setattr(jax, "process_count", lambda: 2)
        monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", broadcast)
        answers = []
        for index in (0, 1):
            monkeypatch.setattr(jax, "process_index", lambda index=index: index)
            try:
                answers.append(of_main(question if index == 0 else pytest.fail))
            except InputError as error:
                answers.append(str(error))
        return answers

    return play


def test_alone_a_process_answers_itself():
    assert of_main(lambda: [1, None]) == [1, None]
    with pytest.raises(InputError, match="damaged"):
        of_main(refuse)


def test_all_have_the_answer_of_the_main_process(told):
    assert (
        told(lambda: {"stage": 1, "names": ["ä"]}) == [{"stage": 1, "names": ["ä"]}] * 2
    )


def test_all_raise_what_the_main_process_does(told):
    assert told(refuse) == ["the file is damaged"] * 2
