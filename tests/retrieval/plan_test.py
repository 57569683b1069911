import jax
import numpy as np
import pytest

from ckda_jax.retrieval.distances import Cosine
from ckda_jax.retrieval.plan import HIT_BYTES, PAIR_BYTES, WORKER_BYTES, Part, Plan
from ckda_jax.structs import InputError


def test_divides_a_budget_into_queries_and_threads():
    query, worker = 100 * PAIR_BYTES + 3 * HIT_BYTES, 100 * WORKER_BYTES
    plan = Plan(budget=40 * query + 2 * worker, workers=2)
    assert plan.divide(100, 3, on_device=False) == (40, 2)
    tight = Plan(budget=query + worker, workers=2)
    assert tight.divide(100, 3, on_device=False) == (1, 1)
    assert Plan(workers=2).divide(0, 0, on_device=False)[0] >= 1


def test_a_part_has_as_many_slices_as_the_longest():
    assert list(Part().slices(5, 3)) == [slice(0, 3), slice(3, 5)]
    last = Part(own=slice(4, 5), longest=2)
    assert list(last.slices(5, 1)) == [slice(4, 5), slice(5, 5)]
    none = Part(own=slice(5, 5), longest=2)
    assert list(none.slices(5, 1)) == [slice(5, 5)] * 2
    assert list(Part().slices(0, 3)) == [slice(0, 0)]


def test_refuses_a_budget_that_holds_no_query():
    least = 100 * PAIR_BYTES + 3 * HIT_BYTES + 100 * WORKER_BYTES
    with pytest.raises(InputError, match=f"one query's 100 .* give at least {least}"):
        Plan(budget=least - 1).divide(100, 3, on_device=False)


def test_the_device_is_asked_for_or_there_by_default():
    cosine = Cosine(np.eye(2), np.eye(2))
    assert Plan(device=True).on_device(np.eye(2))
    assert not Plan(device=False).on_device(cosine)
    assert not Plan().on_device(np.eye(2))
    assert Plan().on_device(cosine) == (jax.default_backend() != "cpu")
