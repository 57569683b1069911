import jax
import numpy as np
import pytest

from ckda_jax.retrieval.distances import Cosine
from ckda_jax.retrieval.plan import HIT_BYTES, PAIR_BYTES, WORKER_BYTES, Plan
from ckda_jax.structs import InputError


def test_divides_a_budget_into_queries_and_threads():
    query, worker = 100 * PAIR_BYTES + 3 * HIT_BYTES, 100 * WORKER_BYTES
    plan = Plan(budget=40 * query + 2 * worker, workers=2)
    assert plan.divide(100, 3, on_device=False) == (40, 2)
    tight = Plan(budget=query + worker, workers=2)
    assert tight.divide(100, 3, on_device=False) == (1, 1)
    assert Plan(workers=2).divide(0, 0, on_device=False)[0] >= 1


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
