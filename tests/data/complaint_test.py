import pytest

from ckda_jax.data.complaint import stop, told
from ckda_jax.structs import InputError


def refuse(number: int) -> None:
    """Refuse a number."""
    raise InputError(f"{number} is odd")


def test_the_first_complaint_stops():
    with pytest.raises(InputError, match="3 is odd"):
        for number in (2, 3, 5):
            with told(stop):
                refuse(number) if number % 2 else None


def test_gathered_complaints_do_not_stop_and_others_pass():
    said: list[InputError] = []
    for number in (2, 3, 4, 5):
        with told(said.append):
            refuse(number) if number % 2 else None
    assert [str(error) for error in said] == ["3 is odd", "5 is odd"]
    with pytest.raises(KeyError), told(said.append):
        raise KeyError("a mistake of ours")
