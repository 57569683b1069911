import numpy as np
import pytest

from ckda_jax.retrieval import device, ranks
from ckda_jax.retrieval.distances import Cosine
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.retrieval.truth import Truth
from ckda_jax.structs import InputError


def people(seed, rule, q=21, g=64):
    rng = np.random.default_rng(seed)
    return Truth(
        *(rng.integers(0, 8, q), rng.choice([3, 6], q)),
        *(rng.integers(0, 6, g), rng.integers(1, 5, g)),
        RULES[rule],
    )


@pytest.mark.parametrize("rule", RULES)
def test_ranks_as_on_the_host(rule):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth = people(seed, rule)
        distances = rng.integers(-3, 3, (21, 64)).astype(np.float32)
        rows = slice(4, 21)
        got = device.ranker(distances, truth)(rows)
        expected = ranks.ranker(distances, truth, 1)(rows)
        np.testing.assert_array_equal(got.first, expected.first)
        np.testing.assert_array_equal(np.sort(got.hits), np.sort(expected.hits))


def test_compares_embeddings_itself():
    rng = np.random.default_rng(0)
    truth = people(0, "sysu")
    distances = Cosine(
        rng.integers(-2, 3, (21, 4)).astype(np.float16),
        rng.integers(-2, 3, (64, 4)).astype(np.float32),
    )
    got = device.ranker(distances, truth)(slice(0, 21))
    expected = ranks.ranker(distances, truth, 1)(slice(0, 21))
    np.testing.assert_array_equal(got.first, expected.first)


def test_nobody_to_be_found():
    truth = people(0, "standard", g=0)
    found = device.ranker(np.zeros((21, 0), np.float32), truth)(slice(0, 21))
    assert (found.hits.shape, found.first.tolist()) == ((21, 0), [0] * 21)


def test_refuses_what_is_not_a_number():
    broken = np.full((21, 64), np.nan, np.float32)
    with pytest.raises(InputError, match="64 of 64 distances are not a number"):
        device.ranker(broken, people(0, "standard"))(slice(0, 1))
