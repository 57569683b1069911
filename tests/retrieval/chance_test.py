"""The level of chance, against every order there is and against drawn ones."""

import itertools

import numpy as np
import pytest

from ckda_jax.retrieval.chance import Level, expected, precision, warning
from ckda_jax.retrieval.metrics import evaluate
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.structs import InputError


def average_precision(places: tuple[int, ...]) -> float:
    """Average the precision at the 0-based places of the right images."""
    return float(np.mean([(j + 1) / (p + 1) for j, p in enumerate(sorted(places))]))


@pytest.mark.parametrize(
    ("images", "right"),
    [(1, 1), (2, 1), (2, 2), (3, 2), (7, 1), (7, 3), (8, 7), (6, 6)],
)
def test_precision_is_that_of_all_orders(images, right):
    every = [average_precision(p) for p in itertools.combinations(range(images), right)]
    found = precision(images, right)
    assert found.mean == pytest.approx(np.mean(every), abs=1e-12)
    assert found.deviation == pytest.approx(np.std(every), abs=1e-7)


@pytest.mark.parametrize("name", list(RULES))
def test_expected_is_the_mean_of_drawn_rankings(name):
    rng = np.random.default_rng(0)
    rule = RULES[name]
    query = rng.integers(0, 5, 8), rng.integers(2, 5, 8)
    gallery = rng.integers(0, 5, 30), rng.integers(2, 5, 30)
    drawn = [evaluate(rng.random((8, 30)), *query, *gallery, rule) for _ in range(400)]
    found = expected(*query, *gallery, rule)
    precisions = [score.mAP for score in drawn]
    firsts = [score.rank(1) for score in drawn]
    assert found.mAP.mean == pytest.approx(np.mean(precisions), abs=0.005)
    assert found.rank1.mean == pytest.approx(np.mean(firsts), abs=0.015)
    # Independent here, so narrower than for queries of one identity that go together.
    assert np.std(precisions) < found.mAP.deviation < 3 * np.std(precisions)
    assert found.identities == len(set(query[0].tolist()))


def test_queries_of_one_identity_count_as_one():
    gallery, cameras = np.arange(20), np.zeros(20, int)

    def deviation(people: list[int]) -> float:
        query = np.array(people)
        rule = RULES["standard"]
        return expected(query, query, gallery, cameras, rule).mAP.deviation

    one = precision(20, 1).deviation
    assert deviation([3]) == pytest.approx(one)
    assert deviation([3] * 4) == pytest.approx(one)
    assert deviation([3, 4, 5, 6]) == pytest.approx(one / 2)


def test_a_query_without_a_right_image_is_left_out():
    gallery = np.arange(4)
    with_stranger = np.array([0, 1, 9])
    found = expected(with_stranger, with_stranger, gallery, gallery, RULES["standard"])
    assert found.identities == 2
    assert found.rank1.mean == 0.25
    alone = np.array([9])
    with pytest.raises(InputError, match="none of 1 queries has a right image"):
        expected(alone, alone, gallery, gallery, RULES["standard"])


def test_warning_takes_the_spread_into_account():
    level = Level(0.1, 0.02)
    assert warning("mAP", 0.17, level) is None
    said = warning("mAP", 0.15, level)
    assert said is not None and said.startswith("mAP 15.0 % is not clearly above")
    for cause in ("wrong modality", "wrong checkpoint", "wrong protocol"):
        assert cause in said
    assert warning("rank-1", 0.15, Level(0.1, 0.01)) is None
