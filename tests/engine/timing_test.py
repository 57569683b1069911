"""Timing in turns, by a clock that functions move."""

import numpy as np
import pytest

from ckda_jax.engine import timing


class Clock:
    """Seconds that pass when functions say so."""

    def __init__(self) -> None:
        self.now, self.order = 0.0, ""

    def __call__(self) -> float:
        return self.now

    def function(self, name: str, *seconds: float):
        """Make a function whose calls take the given seconds, one after another."""
        left = list(seconds)

        def call() -> None:
            self.order += name
            self.now += left.pop(0)

        return call


def test_rounds_alternate_and_the_first_does_not_count():
    clock = Clock()
    told: list[int] = []
    found = timing.in_turns(
        {"a": clock.function("a", 9, 1, 2), "b": clock.function("b", 8, 3, 4)},
        2,
        told=told.append,
        clock=clock,
    )
    assert clock.order == "baabba"
    assert {name: seconds.tolist() for name, seconds in found.items()} == {
        "a": [1, 2],
        "b": [3, 4],
    }
    assert told == [1, 2, 3]


def test_ratio_is_of_the_pairs_and_not_of_the_averages():
    # The machine slows down by half in every second round, for both alike.
    slow = np.where(np.arange(30) % 2, 10.0, 1.0)
    found = timing.ratio(1.1 * slow, slow)
    assert tuple(found) == pytest.approx((1.1, 1.1, 1.1))


def test_interval_is_between_the_order_statistics_of_the_table():
    # n = 30: from the 10th to the 21st of the ordered values.
    ratios = np.random.default_rng(0).permutation(np.arange(1.0, 31.0))
    found = timing.ratio(ratios, np.ones(30))
    assert (found.low, found.median, found.high) == (10, 15.5, 21)


def test_one_round_has_no_interval_to_speak_of():
    assert timing.ratio(np.array([2.0]), np.array([1.0])) == (2.0, 2.0, 2.0)
