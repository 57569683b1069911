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
            except Exception as error:
                answers.append(error)
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


def broken():
    """Have a bug."""
    raise KeyError("no such stage")


@pytest.mark.parametrize(
    ("question", "kinds", "said"),
    [
        (refuse, (InputError, InputError), "the file is damaged"),
        (lambda: open("/nowhere"), (FileNotFoundError, OSError), "nowhere"),
        (broken, (KeyError, OSError), "no such stage"),
        (object, (TypeError, OSError), "not JSON serializable"),
        (
            lambda: [10**6] * 8000,
            (OSError, OSError),
            "are more than the main process",
        ),
    ],
)
def test_all_raise_when_the_main_process_does(told, question, kinds, said):
    errors = told(question)
    assert tuple(type(error) for error in errors) == kinds
    assert all(said in str(error) for error in errors)


def test_a_long_error_is_told_in_part(told):
    """In characters that take the most bytes, of which there are 12 each."""
    text = "\N{GRINNING FACE}" * 20_000

    def question():
        raise InputError(text)

    own, other = told(question)
    assert str(own) == text
    assert str(other) == text[: len(str(other))] and len(str(other)) == 4096
