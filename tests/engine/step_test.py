import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ckda_jax import keys
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.step import init_extra, look, make_step, step_key, study, teach
from ckda_jax.methods import METHODS, parts
from ckda_jax.methods.base import Extra
from ckda_jax.trees import named_leaves
from tests import tiny

SECOND = 1
"""Index of the stage that most tests look at: the first with a teacher."""
PRETRAINED = ("backbone/patch_embed", "backbone/blocks")


@functools.cache
def learner(**model_changes):
    return tiny.learner(METHODS["ckda"](tiny.settings()), **model_changes)


@pytest.fixture(scope="module")
def step():
    return tiny.quick(make_step(learner()))


def given(learns=None, index=SECOND, steps=0, **batch_changes):
    """Make what a step is given, `steps` into a stage."""
    learns = learns or learner()
    made = tiny.variables(learns.model)
    state = tiny.state(learns, made).replace(step=jnp.int32(steps))
    frozen = tiny.frozen(learns.method, made, index)
    return state, frozen, tiny.batch(index, **batch_changes)


def augmented(batch, key):
    batch = jax.tree.map(jnp.asarray, batch)
    return batch.replace(images=tiny.prepare(key, batch.images))


def in_float64():
    return learner(param_dtype=jnp.float64, depth=1)


@pytest.mark.portable
def test_step_is_augmentation_both_models_the_loss_and_adamw(x64):
    learns = in_float64()
    state, frozen, batch = given(learns)

    key = keys.at_step(state.key, stage=SECOND, step=0)
    prepared = augmented(batch, keys.stream(key, "augment"))

    @tiny.quick
    @functools.partial(jax.value_and_grad, has_aux=True)
    def differentiate(params):
        now = state.replace(params=params)
        student, batch_stats = study(learns, now, frozen, prepared)
        teacher = teach(learns, frozen, prepared)
        view = look(learns, now, frozen, prepared, student, teacher)
        return learns.method.loss(view)[0], batch_stats

    start = jax.device_get(state.params)
    rows = np.asarray(frozen.stage.rows())
    (loss, batch_stats), grads = jax.device_get(differentiate(state.params))
    after, metrics = jax.device_get(tiny.quick(make_step(learns))(state, frozen, batch))
    chex.assert_trees_all_close(metrics["loss"], loss, rtol=1e-12)
    chex.assert_trees_all_close(after.batch_stats, batch_stats, rtol=1e-10)
    trained = [g for name, g in named_leaves(grads).items() if name != "neck/bias"]
    squares = sum((g**2).sum() for g in trained)
    assert float(metrics["grad_norm"]) == pytest.approx(squares**0.5)
    lr = {name: float(s(1)) for name, s in learns.optimiser.schedules().items()}
    assert float(metrics["lr"]) == pytest.approx(lr["base"])

    moved, grads = named_leaves(after.params), named_leaves(grads)
    for name, leaf in named_leaves(start).items():
        group = "pretrained" if name.startswith(PRETRAINED) else "base"
        direction = grads[name] / (np.abs(grads[name]) + 1e-8)
        expected = leaf - lr[group] * (direction + 1e-4 * leaf)
        if name == "neck/bias":
            expected = leaf
        if name == "classifier/kernel":
            expected = np.where(rows, expected, leaf)
        chex.assert_trees_all_close(moved[name], expected, atol=1e-9)


def poisoned(frozen):
    """Spoil what the method remembers, of which the loss is made."""

    def spoil(leaf):
        is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.full_like(leaf, jnp.nan) if is_float else leaf

    return frozen.replace(memory=jax.tree.map(spoil, frozen.memory))


def test_a_step_that_is_not_finite_counts_and_changes_nothing_else(step):
    state, frozen, batch = given()
    before = jax.device_get((state.params, state.batch_stats, state.opt_state))
    left_out, metrics = step(state, poisoned(frozen), batch)
    after = (left_out.params, left_out.batch_stats, left_out.opt_state)
    chex.assert_trees_all_equal(jax.device_get(after), before)
    assert (int(left_out.step), int(left_out.skipped)) == (1, 1)
    assert np.isnan(metrics["loss"]) and np.isnan(metrics["loss/alignment"])
    assert int(metrics["skipped"]) == 1
    names = list(named_leaves(state.params))
    assert names[int(metrics["bad_leaf"])].startswith("backbone/")

    again, metrics = step(left_out, frozen, batch)
    assert (int(again.step), int(metrics["skipped"])) == (2, 1)
    assert int(metrics["bad_leaf"]) == -1
    assert bool(metrics["finite"])
    chex.assert_tree_all_finite((again.params, metrics))
    assert np.abs(again.params["neck"]["scale"] - before[0]["neck"]["scale"]).max() > 0


@pytest.mark.slow
def test_a_mesh_sharing_a_batch_and_pmap_repeating_it_compute_what_jit_does(x64):
    # In float64: between device counts sums are taken in another order, and Adam makes
    # full steps of gradients that are zero but for rounding.
    learns = in_float64()
    state, frozen, batch = given(learns)
    whole, metrics = tiny.quick(make_step(learns))(state, frozen, batch)

    cluster = Cluster.of_all_devices()
    assert cluster.mesh.shape["data"] == 2
    spread = tiny.quick(make_step(learns), out_shardings=cluster.replicated())
    rows = cluster.put(batch, axis=1)
    assert len(rows.images.sharding.device_set) == 2
    assert not rows.images.sharding.is_fully_replicated
    sharded = spread(*cluster.replicate((state, frozen)), rows)
    same = functools.partial(chex.assert_trees_all_close, rtol=1e-9, atol=1e-9)
    same(jax.device_get(sharded[1]), jax.device_get(metrics))
    same(parameters(sharded[0]), parameters(whole))

    def twice(tree):
        return jax.tree.map(lambda x: jnp.stack([x, x]), tree)

    # Every device computes the whole batch, as programs of the days of pmap that keep
    # replicated state do; statistics and triplets are of the whole batch either way.
    copies = [twice(tree) for tree in (state, frozen, batch)]
    mapped = jax.pmap(make_step(learns)).lower(*copies).compile(tiny.quickly())
    replicas, both = mapped(*copies)
    for device in range(2):
        taken = jax.tree.map(lambda x, i=device: x[i], (parameters(replicas), both))
        same(jax.device_get(taken[1]), jax.device_get(metrics))
        same(taken[0], parameters(whole))


def parameters(state):
    return jax.device_get((state.params, state.batch_stats))


@pytest.mark.parametrize("index", [0, SECOND])
def test_an_absent_modality_stands_still_whatever_stands_in_for_it(step, index):
    state, frozen, batch = given(index=index, present=(True, False))
    blank, strange = batch.images.copy(), batch.images.copy()
    blank[1], strange[1] = 0, 255 - strange[1]
    after, metrics = step(state, frozen, batch.replace(images=blank))
    again, others = step(state, frozen, batch.replace(images=strange))
    chex.assert_trees_all_equal((after.variables, metrics), (again.variables, others))
    chex.assert_tree_all_finite((after.variables, metrics))
    before, moved = named_leaves(state.variables), named_leaves(after.variables)
    own = [n for n in before if "/specific/" in n or n.endswith("mod_embed")]
    assert len(own) == 9
    for name in own:
        assert (moved[name][1] == before[name][1]).all(), name
        assert (moved[name][0] != before[name][0]).any(), name


def test_both_modalities_move_where_both_are_there(step):
    state, frozen, batch = given()
    after, _ = step(state, frozen, batch)
    for name in ("mean", "var"):
        old, new = (s.batch_stats["specific"]["norm"][name] for s in (state, after))
        assert (old != new).all()


def test_other_stages_rows_and_the_neck_s_bias_are_neither_trained_nor_decayed(step):
    state, frozen, batch = given()
    after, _ = step(state, frozen, batch)
    old, new = (s.params["classifier"]["kernel"] for s in (state, after))
    own = np.asarray(frozen.stage.rows())
    assert own.sum() == tiny.CLASSES
    chex.assert_trees_all_equal(old[:, ~own], new[:, ~own])
    assert (old[:, own] != new[:, own]).all()
    assert state.params["neck"]["bias"].all()
    chex.assert_trees_all_equal(
        state.params["neck"]["bias"], after.params["neck"]["bias"]
    )


def test_the_state_counts_its_steps_and_keeps_its_key(step):
    state, frozen, batch = given()
    after, metrics = step(state, frozen, batch)
    assert int(after.step) == 1 and bool(after.key == state.key)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
    terms = [v for name, v in metrics.items() if name.startswith("loss/")]
    assert float(metrics["loss"]) == pytest.approx(float(sum(terms)), rel=1e-5)
    assert {v.shape for v in metrics.values()} == {()}


def test_the_rate_is_that_of_the_epoch(step):
    schedule = learner().optimiser.schedules()["base"]
    for steps, epoch in ((0, 1), (1, 1), (2, 2), (5, 3), (9, 5)):
        _, metrics = step(*given(steps=steps))
        assert float(metrics["lr"]) == pytest.approx(float(schedule(epoch)), rel=1e-6)


def test_the_same_place_in_a_run_draws_the_same(step):
    once, again = step(*given(steps=3)), step(*given(steps=3))
    chex.assert_trees_all_equal(once[0].variables, again[0].variables)
    chex.assert_trees_all_equal(once[1], again[1])
    other = step(*given(steps=4))
    assert once[1]["loss"] != other[1]["loss"]


def test_stage_and_step_decide_the_key():
    state, frozen, _ = given(steps=3)
    expected = keys.at_step(jax.random.key(0), stage=SECOND, step=3)
    assert bool(step_key(state, frozen) == expected)
    assert bool(step_key(*given(index=2, steps=3)[:2]) != expected)


@pytest.mark.parametrize("compare", parts.COMPARISONS)
def test_prompts_of_equal_models_are_equal_where_compared_cleanly(compare):
    # Dropout and the batch's own statistics keep the released comparison above zero.
    learns = tiny.learner(parts.prompt_consistency(compare=compare))
    state, frozen, batch = given(learns)
    frozen = frozen.replace(teacher=state.variables)
    prepared = augmented(batch, state.key)

    @tiny.quick
    def loss(state, frozen):
        student, _ = study(learns, state, frozen, prepared)
        teacher = teach(learns, frozen, prepared)
        view = look(learns, state, frozen, prepared, student, teacher)
        return learns.method.loss(view)[0]

    value = float(loss(state, frozen))
    assert value == 0 if compare == "clean" else value > 0.01


def test_the_teacher_evaluates_and_takes_no_gradient():
    learns = learner()
    state, frozen, batch = given()
    prepared = augmented(batch, state.key)

    @tiny.quick
    @functools.partial(jax.value_and_grad, has_aux=True)
    def feature(teacher):
        out = teach(learns, frozen.replace(teacher=teacher), prepared)
        assert out is not None
        return out.feature.sum(), out.feature

    (_, found), gradient = feature(frozen.teacher)
    apply: Any = tiny.quick(learns.model.apply)
    _, alone = apply(frozen.teacher, prepared.images)
    chex.assert_trees_all_close(found, alone.feature, rtol=1e-5)
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))
    assert teach(learns, given(index=0)[1], prepared) is None


def test_a_batch_of_the_wrong_rank_is_refused():
    state, frozen, batch = given()
    flat = batch.replace(labels=batch.labels.reshape(-1))
    with pytest.raises(AssertionError, match="rank"):
        make_step(learner())(state, frozen, flat)


def test_extra_modules_are_initialised_by_name():
    def extra(features):
        return Extra(nn.Dense(features), lambda out: (out.feature,))

    out, key = tiny.outputs(), jax.random.key(0)
    made = init_extra({"a.map": extra(3), "b.map": extra(5)}, key, out)
    chex.assert_shape(made["a.map"]["kernel"], (tiny.WIDTH, 3))
    chex.assert_shape(made["b.map"]["bias"], (5,))
    alone = init_extra({"a.map": extra(3)}, key, out)
    chex.assert_trees_all_equal(alone["a.map"], made["a.map"])
