"""How far a quantity may be from the recorded one, in which measure."""

import dataclasses
from collections.abc import Callable

import numpy as np


def _absolute(gap: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    del wanted
    return gap


def _relative(gap: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A hinge that is exactly zero has no relative error; it counts absolutely."""
    return gap / np.where(wanted == 0, 1, np.abs(wanted))


def _of_largest(gap: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    largest = np.max(np.abs(wanted), initial=0)
    return gap / (largest or 1)


def _from_one(gap: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return gap / np.maximum(1, np.abs(wanted))


def _norm(gap: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """|gap| <= limit * (|wanted| + 0.01): at 1e-4, 1e-4 of the norm plus 1e-6."""
    return np.asarray(np.linalg.norm(gap) / (np.linalg.norm(wanted) + 0.01))


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """The largest error allowed, in a measure of the error.

    Attributes:
        limit: the bound.
        measure: `absolute`; `relative` to each value; `of largest` value of the array;
            `from one`, relative to values above 1 and absolute below; `norm`, of the
            whole difference against the whole array.
    """

    limit: float
    measure: str = "absolute"

    def error(self, ours: np.ndarray, theirs: np.ndarray) -> float:
        """Measure the largest error; infinite for other shapes and where not finite.

        >>> import numpy as np
        >>> Tolerance(1e-5, "relative").error(np.array([1.0, 4.0]), np.array([1.0, 5]))
        0.2
        """
        if np.shape(ours) != np.shape(theirs):
            return np.inf
        got, wanted = (np.atleast_1d(np.asarray(x, np.float64)) for x in (ours, theirs))
        if not (np.isfinite(got).all() and np.isfinite(wanted).all()):
            return np.inf
        gap = np.abs(got - wanted)
        return float(np.max(MEASURES[self.measure](gap, wanted), initial=0))

    def __str__(self) -> str:
        suffix = "" if self.measure == "absolute" else f" {self.measure}"
        return f"{self.limit:.0e}{suffix}"


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "absolute": _absolute,
    "relative": _relative,
    "of largest": _of_largest,
    "from one": _from_one,
    "norm": _norm,
}

EQUAL = Tolerance(0.0)

DOUBLE = "float64"


@dataclasses.dataclass(frozen=True)
class Kind:
    """The tolerances of one kind of quantity.

    Attributes:
        single: ours in float32.
        double: ours in float64, theirs recorded in float64.
        rounded: ours in float64, theirs recorded in float32.
    """

    single: Tolerance
    double: Tolerance
    rounded: Tolerance

    def at(self, precision: str, theirs: np.ndarray) -> Tolerance:
        """Choose by what ours is computed in and theirs is recorded in."""
        if precision != DOUBLE:
            return self.single
        return self.double if theirs.dtype == np.float64 else self.rounded


_LOSS = Tolerance(1e-12)
_EMBEDDING = Tolerance(1e-9)
_GRADIENT = Tolerance(1e-6)
_PARAMETER = Tolerance(2e-7)
# Recorded in float32, and variances are larger than parameters.
_STATISTICS = Tolerance(2e-7, "from one")

LOSS = Kind(Tolerance(1e-5, "relative"), _LOSS, Tolerance(1e-5, "relative"))
ACTIVATION = Kind(Tolerance(2e-5), _EMBEDDING, Tolerance(2e-5))
INTERMEDIATE = Kind(
    Tolerance(4e-6, "of largest"), _EMBEDDING, Tolerance(4e-6, "of largest")
)
STATISTICS = Kind(Tolerance(2e-6), _EMBEDDING, Tolerance(2e-6))
GRADIENT = Kind(Tolerance(1e-4, "norm"), _EMBEDDING, _GRADIENT)
STEP_LOSS = Kind(Tolerance(4e-5, "from one"), _LOSS, _LOSS)
STEP_ALIGNMENT = Kind(Tolerance(1e-6), _LOSS, _LOSS)
FINAL_EMBEDDING = Kind(Tolerance(1e-3), _EMBEDDING, Tolerance(1e-3))
FINAL_STATISTICS = Kind(Tolerance(2e-5), _STATISTICS, _STATISTICS)
FINAL_PARAMETER = Kind(Tolerance(1e-5), _PARAMETER, _PARAMETER)
FINAL_LAST_BIAS = Kind(Tolerance(1e-4), _PARAMETER, _PARAMETER)
# The reference's parameters after one step are recorded in its own float32 only.
FIRST_PARAMETER = Kind(Tolerance(1e-5), Tolerance(1e-5), Tolerance(1e-5))
FIRST_LAST_BIAS = Kind(Tolerance(1e-4), Tolerance(1e-4), Tolerance(1e-4))
RATE = Kind(
    Tolerance(3e-6, "relative"),
    Tolerance(1e-9, "relative"),
    Tolerance(3e-6, "relative"),
)
MERGE = Kind(Tolerance(1e-6), Tolerance(1e-6), Tolerance(1e-6))

SCORE = Tolerance(1e-12)
CURVE = Tolerance(1e-7)
POSITIONS = Tolerance(5e-6)
ONE_LEVEL = Tolerance(1.0)
