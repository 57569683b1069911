"""The shares of the gradient, against each term differentiated alone."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax import trees
from ckda_jax.engine.shares import SHARE, make_shares, one_hot
from ckda_jax.engine.state import copy
from ckda_jax.engine.step import assess, augmented, make_step
from ckda_jax.methods import METHODS
from ckda_jax.methods.base import Method
from tests import tiny

FIRST, LATER = 0, 1
PROTECTING = ("prompt_consistency", "alignment")
TERMS = ("identity", "triplet", "centres", "cross", *PROTECTING)


def learner(**settings: Any):
    return tiny.learner(METHODS["ckda"](tiny.settings(**settings)))


def given(learns, index, **batch_changes):
    made = tiny.variables(learns.model)
    state = tiny.state(learns, made).replace(step=jnp.int32(3))
    frozen = tiny.frozen(learns.method, made, index)
    return state, frozen, tiny.batch(index, **batch_changes)


@functools.cache
def compiled():
    """Compile the measurement, at most once without and once with a teacher."""
    chex.clear_trace_counter()  # counts by name, also of runs before this one
    return tiny.quick(chex.assert_max_traces(make_shares(learner()), n=2))


@functools.cache
def measured(index):
    found = compiled()(*given(learner(), index))
    return {name: float(value) for name, value in found.items()}


def alone(learns, inputs, term):
    """Differentiate one term by the parameters: the obvious, slow twin."""
    state, frozen, batch = inputs

    def value(params):
        now = state.replace(params=params)
        rows = augmented(learns, now, frozen, jax.tree.map(jnp.asarray, batch))
        _, (metrics, *_) = assess(learns, now, frozen, rows)
        return metrics[f"loss/{term}"]

    return trees.named_leaves(jax.grad(value)(state.params))


def length(grads):
    return sum(float(np.square(leaf).sum()) for leaf in grads.values()) ** 0.5


def test_shares_are_those_of_each_term_differentiated_alone(x64):
    method = METHODS["ckda"](tiny.settings())
    learns = tiny.learner(method, param_dtype=jnp.float64, depth=1)
    inputs = given(learns, LATER)
    found = tiny.quick(make_shares(learns))(*inputs)

    @tiny.quick
    def differentiate(*inputs):
        return {term: alone(learns, inputs, term) for term in TERMS}

    grads = jax.device_get(differentiate(*inputs))
    # Never trained, and not to be counted, though a gradient arrives there.
    fixed = {term: np.abs(own.pop("neck/bias")).max() for term, own in grads.items()}
    assert fixed["identity"] > 0 and fixed["alignment"] > 0
    lengths = {term: length(own) for term, own in grads.items()}
    expected = {
        SHARE + term: size / sum(lengths.values()) for term, size in lengths.items()
    }
    assert all(share > 1e-6 for share in expected.values())
    chex.assert_trees_all_close(jax.device_get(found), expected, rtol=1e-9)


@pytest.mark.parametrize("index", [FIRST, LATER])
def test_shares_sum_to_one(index):
    shares = measured(index)
    assert shares.keys() == {SHARE + term for term in TERMS}
    assert min(shares.values()) >= 0
    assert sum(shares.values()) == pytest.approx(1, rel=1e-5)


def test_what_protects_has_no_share_without_a_teacher():
    for term in TERMS:
        protects = term in PROTECTING
        assert (measured(FIRST)[SHARE + term] == 0) == protects, term
        assert measured(LATER)[SHARE + term] > 0, term


def test_a_term_of_weight_zero_has_no_share_and_the_rest_keep_their_proportions():
    learns = learner(alignment={"weight": 0.0})
    found = jax.device_get(tiny.quick(make_shares(learns))(*given(learns, LATER)))
    whole = measured(LATER)
    assert found.pop(SHARE + "alignment") == 0
    rest = 1 - whole[SHARE + "alignment"]
    for name, share in found.items():
        assert share == pytest.approx(whole[name] / rest, rel=1e-4), name


def test_all_terms_at_zero_have_shares_of_zero_and_not_nan():
    learns = learner(**{name: {"weight": 0.0} for name in TERMS})
    found = tiny.quick(make_shares(learns))(*given(learns, LATER))
    assert {float(share) for share in found.values()} == {0}


def test_an_absent_modality_has_no_part_in_a_share():
    state, frozen, batch = given(learner(), LATER, present=(True, False))
    strange = batch.images.copy()
    strange[1] = 255 - strange[1]
    found = compiled()(state, frozen, batch)
    again = compiled()(state, frozen, batch.replace(images=strange))
    chex.assert_trees_all_equal(found, again)
    chex.assert_tree_all_finite(found)


def test_a_method_that_names_no_term_has_no_shares():
    learns = tiny.learner(Method())
    state, frozen, batch = given(learns, FIRST)
    assert make_shares(learns)(state, frozen, jax.tree.map(jnp.asarray, batch)) == {}


@pytest.mark.parametrize("index", [FIRST, LATER])
def test_measuring_changes_no_bit_of_the_step_after_it(index):
    learns = learner()
    step = tiny.quick(make_step(learns), donate_argnums=0)
    state, frozen, batch = given(learns, index)
    kept = copy((frozen.teacher, frozen.memory))
    plain = jax.device_get(step(copy(state), frozen, batch)[0].variables)
    shares = compiled()(state, frozen, batch)
    after, _ = step(state, frozen, batch)
    chex.assert_trees_all_equal(jax.device_get(after.variables), plain)
    chex.assert_trees_all_equal((frozen.teacher, frozen.memory), kept)
    chex.assert_tree_all_finite(shares)


def test_it_compiles_once_without_and_once_with_a_teacher():
    values = []
    for index in (0, 1, 2):
        state, frozen, _ = given(learner(), index)
        for seed in (0, 1):
            now = state.replace(step=jnp.int32(seed))
            found = compiled()(now, frozen, tiny.batch(index, seed=seed))
            values.append(float(found[SHARE + "identity"]))
    assert len(set(values)) == 6


def test_one_hot_keeps_the_type_of_each_value():
    found = one_hot({"a": jnp.float32(2), "b": jnp.bfloat16(3)})
    assert found["a"].dtype == jnp.float32 and found["b"].dtype == jnp.bfloat16
    assert found["b"].tolist() == [0, 1]
