"""Functions timed in turns, so that what disturbs one disturbs the others as much."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float

FEWEST = 6
"""Rounds from which on an interval between two of them can hold a median with 95 %."""

Told = Callable[[int], None]


class Latency(NamedTuple):
    """Seconds of a call: the median and the 99th percentile."""

    p50: float
    p99: float


class Ratio(NamedTuple):
    """How many times as long as its partner a call takes.

    Attributes:
        median: of the rounds.
        low: lower end of the interval that holds the true median with 95 %, or less
            where there were fewer than `FEWEST` rounds.
        high: its upper end.
    """

    median: float
    low: float
    high: float


def in_turns(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    *,
    told: Told = lambda done: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Float[np.ndarray, " r"]]:
    """Time functions, each once in every round; a first round does not count.

    Every other round goes backwards: none is always the one after the other.

    Args:
        functions: by name; each returns when its work is done.
        repeats: rounds that count.
        told: is given the number of rounds done, the first one included.
        clock: gives seconds.

    Returns:
        Seconds of each round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for done in range(repeats + 1):
        names = list(functions) if done % 2 else list(functions)[::-1]
        for name in names:
            start = clock()
            functions[name]()
            seconds[name].append(clock() - start)
        told(done + 1)
    return {name: np.array(rounds[1:]) for name, rounds in seconds.items()}


def latency(seconds: Float[np.ndarray, " r"]) -> Latency:
    """Summarise the rounds of one function.

    >>> latency(np.linspace(0.0, 1.0, 101))
    Latency(p50=0.5, p99=0.99)
    """
    return Latency(*(float(q) for q in np.quantile(seconds, (0.5, 0.99))))


def ratio(seconds: Float[np.ndarray, " r"], partner: Float[np.ndarray, " r"]) -> Ratio:
    """Compare a function with its partner round by round.

    The interval is that of the order statistics, which assumes nothing of the times
    (Hahn and Meeker 1991, section 5.2).

    >>> ratio(np.array([1.5, 2.5, 3.0]), np.array([1.0, 2.0, 3.0]))
    Ratio(median=1.25, low=1.0, high=1.5)
    """
    ratios = np.sort(seconds / partner)
    n = len(ratios)
    below = max(int(scipy.stats.binom.ppf(0.025, n, 0.5)), 1)
    return Ratio(
        median=float(np.median(ratios)),
        low=float(ratios[below - 1]),
        high=float(ratios[n - below]),
    )
