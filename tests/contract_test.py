"""What every method promises to the loop, the step and the checkpoint."""

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.state import Frozen
from ckda_jax.engine.step import Learner, make_step, teach
from ckda_jax.methods import METHODS
from ckda_jax.methods.base import Method, no_projection, plain_embed
from ckda_jax.methods.combined import combine
from ckda_jax.methods.parts import Metric
from ckda_jax.trees import map_named, matches
from tests import tiny
from tests.course import Course, run, start
from tests.gate import OWN, gate

WIDE = Metric(margin=5.0)
"""A margin with which no triplet of the drawn features is satisfied."""
WEIGHTED = (
    *("identity", "triplet", "contrastive", "centres", "cross"),
    *("prompt_consistency", "alignment"),
)
every_method = pytest.mark.parametrize("name", METHODS)


def method(name: str, **changes: Any) -> Method:
    return METHODS[name](tiny.settings(**({"metric": WIDE} | changes)))


@functools.cache
def course(name: str) -> Course:
    return run(tiny.learner(method(name)))


@every_method
def test_losses_gradients_and_variables_stay_finite(name):
    found = course(name)
    for metrics in found.metrics:
        chex.assert_tree_all_finite(metrics)
        assert all(m["grad_norm"] > 0 for m in metrics)
    for state, merged, memory in found.ended:
        chex.assert_tree_all_finite((state.variables, merged, memory))


@every_method
def test_a_run_compiles_once_for_the_first_stage_and_once_for_the_others(name):
    assert course(name).traces == 2


@every_method
def test_metrics_have_the_same_names_in_every_stage(name):
    names = {frozenset(m) for metrics in course(name).metrics for m in metrics}
    assert len(names) == 1
    assert {"loss", "grad_norm", "lr", "loss/identity"} <= set(*names)


@every_method
def test_trees_keep_their_shapes_from_stage_to_stage(name):
    found = course(name)
    for (state, frozen), (after, merged, memory) in zip(
        found.begun, found.ended, strict=True
    ):
        chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
        chex.assert_trees_all_equal_shapes_and_dtypes(state.variables, merged)
        chex.assert_trees_all_equal_shapes_and_dtypes(frozen.memory, memory)


@every_method
def test_a_step_leaves_every_bit_of_the_teacher_alone(name):
    found = course(name)
    assert found.teachers[0] is None
    for index in (1, 2):
        _, merged, _ = found.ended[index - 1]
        chex.assert_trees_all_equal(found.teachers[index], merged)


@every_method
def test_memory_survives_a_checkpoint(name, tmp_path):
    found = course(name)
    _, frozen = found.begun[0]
    _, merged, memory = found.ended[-1]
    saved = Checkpoints(tmp_path)
    saved.save_stage(2, merged, memory)
    saved.close()
    opened = Checkpoints(tmp_path)
    restored = opened.restore_stage(2, variables=merged, memory=frozen.memory)
    opened.close()
    chex.assert_trees_all_equal(restored, (merged, memory))


def weights(**on: float) -> dict[str, dict[str, float]]:
    """Set every part's weight: 0 but for those named."""
    return {part: {"weight": on.get(part, 0.0)} for part in WEIGHTED}


def gradient(method: Method, teacher: Any = True) -> Any:
    """Differentiate a method's loss by all that a model computes."""
    changes = {} if teacher else {"teacher": None}
    memory = tiny.memory(method, tiny.variables(tiny.model()))

    @tiny.quick
    @functools.partial(jax.value_and_grad, has_aux=True)
    def differentiate(student, memory):
        return method.loss(tiny.view(memory, student=student, **changes))

    return differentiate(tiny.outputs(), memory)


def largest(tree: Any) -> float:
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@every_method
def test_parts_of_weight_zero_have_no_effect(name):
    everything = gradient(method(name, **weights(**dict.fromkeys(WEIGHTED, 1.0))))
    (loss, metrics), slopes = everything
    parts = [m.removeprefix("loss/") for m in metrics if m.startswith("loss/")]
    nothing = gradient(method(name, **weights()))
    assert nothing[0][0] == 0 and largest(nothing[1]) == 0
    total = jax.tree.map(jnp.zeros_like, (loss, slopes))
    for part in parts:
        (alone, _), own = gradient(method(name, **weights(**{part: 1.0})))
        assert float(alone) == pytest.approx(float(metrics[f"loss/{part}"]), rel=1e-5)
        assert largest(own) > 0, part
        total = jax.tree.map(jnp.add, total, (alone, own))
    # So each part adds its own gradient and no other: without it that is missing.
    chex.assert_trees_all_close(total, (loss, slopes), rtol=1e-4, atol=1e-6)


@every_method
def test_the_first_stage_is_learned_as_fine_tuning_does(name):
    (loss, metrics), slopes = gradient(method(name), teacher=None)
    (expected, plain), others = gradient(method("finetune"), teacher=None)
    chex.assert_trees_all_equal((loss, slopes), (expected, others))
    protecting = set(metrics) - set(plain)
    assert all(metrics[m] == 0 for m in protecting)
    assert (name != "finetune") == bool(protecting)
    state, merged, _ = course(name).ended[0]
    chex.assert_trees_all_equal(merged, state.variables)


def program(method: Method, index: int) -> str:
    """Write out the whole program of a step."""
    learner = tiny.learner(method)
    made = start(learner)
    frozen = tiny.frozen(method, made, index)
    given = tiny.state(learner, made), frozen, tiny.batch(index)
    return jax.jit(make_step(learner)).lower(*given).as_text()


@pytest.mark.parametrize("name", [*METHODS, "gate"])
def test_a_neutral_part_changes_no_bit(name):
    one = gate() if name == "gate" else method(name)
    alone, joined = combine(a=one), combine(a=one, nothing=Method())
    # The same program computes the same bits.
    assert program(alone, 1) == program(joined, 1)
    made = start(tiny.learner(alone))
    memory, key = alone.init(jax.random.key(0), made), jax.random.key(1)
    chex.assert_trees_all_equal(memory, joined.init(jax.random.key(0), made))
    end, old = tiny.stage_end(made, 1), tiny.teacher(made)
    for slot, inputs in {
        "begin": (memory, made, tiny.stage(1), key),
        "merge": (made, old, end),
        "consolidate": (memory, end),
        "examples": (alone.consolidate(memory, end),),
    }.items():
        both = getattr(alone, slot)(*inputs), getattr(joined, slot)(*inputs)
        chex.assert_trees_all_equal(*both)
    assert set(alone.modules) == set(joined.modules)


def quiet(method: Method) -> Learner:
    """Make a learner without dropout, quick to compile."""
    return tiny.learner(method, dropout=0.0, drop_path=0.0, prompt_dropout=0.0)


@pytest.fixture(scope="module")
def gated():
    return run(quiet(combine(gate=gate())))


def differs(one: jax.Array, two: jax.Array) -> bool:
    return float(jnp.abs(one - two).max()) > 1e-3


def test_gate_keeps_the_contract(gated):
    assert gated.traces == 2
    made = [(s.variables, merged, memory) for s, merged, memory in gated.ended]
    chex.assert_tree_all_finite((gated.metrics, made))
    for (state, frozen), (after, _, memory) in zip(
        gated.begun, gated.ended, strict=True
    ):
        chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
        chex.assert_trees_all_equal_shapes_and_dtypes(frozen.memory, memory)
        table = state.params["extra"]["gate.shift"]["table"]
        chex.assert_shape(table, (tiny.STAGES, tiny.WIDTH))


def test_begin_allocates_in_memory_and_resets_variables(gated):
    for index, (state, frozen) in enumerate(gated.begun):
        gates = frozen.memory["gate"]["gate"]
        assert [bool((g == 1).all()) for g in gates] == [i > index for i in range(3)]
        cls_token = state.params["backbone"]["cls_token"]
        chex.assert_trees_all_equal(cls_token, gates[index])


def test_wrap_chooses_by_stage_inside_the_scan(gated):
    _, variables, memory = gated.ended[-1]
    learner = gated.learner

    @tiny.quick
    def feature(variables: Any, gates: jax.Array, stage: jax.Array) -> jax.Array:
        changed = {"gate": {**memory["gate"], "gate": gates}}
        given = {"memory": changed, "stage": stage, "modality": (0, 1)}
        return learner.apply(variables, tiny.prepared(), **given)[1].feature

    gates, stage = memory["gate"]["gate"], jnp.int32(1)
    plain = feature(variables, gates, stage)
    for row in range(tiny.STAGES):
        own = row == 1
        assert differs(plain, feature(variables, gates.at[row].add(1), stage)) == own
        assert differs(plain, feature(moved(variables, row), gates, stage)) == own


def moved(variables: Any, row: int) -> Any:
    """Move one stage's row of the gate's own table."""

    def move(name: str, leaf: jax.Array) -> jax.Array:
        if not matches(name, f"params/{OWN}"):
            return leaf
        return leaf.at[row].set(jnp.linspace(-1, 1, leaf.shape[-1]))

    return map_named(move, variables)


def test_the_teacher_is_wrapped_as_the_stage_before(gated):
    _, frozen = gated.begun[2]
    learner = gated.learner
    batch = jax.tree.map(jnp.asarray, tiny.batch()).replace(images=tiny.prepared())

    @tiny.quick
    def both(frozen: Frozen) -> Any:
        taught = teach(learner, frozen, batch)
        assert taught is not None
        given = {"memory": frozen.memory, "stage": jnp.int32(1), "modality": (0, 1)}
        _, before = learner.apply(frozen.teacher, batch.images, **given)
        return taught.feature, before.feature

    chex.assert_trees_all_close(*both(frozen), rtol=1e-5)


def test_modules_train_inside_the_scan_and_update_keeps_them_to_their_stage(gated):
    for index, ((state, _), (after, _, _)) in enumerate(
        zip(gated.begun, gated.ended, strict=True)
    ):
        before, later = (
            s.params["extra"]["gate.shift"]["table"] for s in (state, after)
        )
        for row in range(tiny.STAGES):
            change = jnp.abs(later[row] - before[row])
            # Far more than weight decay alone would move it, or not a bit.
            assert float(change.min()) > 1e-5 if row == index else not change.any()


def test_project_may_ask_for_the_gradient_of_other_examples(gated):
    plain = quiet(combine(gate=dataclasses.replace(gate(), project=no_projection)))
    state, frozen = gated.begun[0]
    _, metrics = tiny.quick(make_step(plain))(state, frozen, tiny.batch())
    doubled = gated.metrics[0][0]["grad_norm"]
    assert float(doubled) == pytest.approx(2 * float(metrics["grad_norm"]), rel=1e-5)


def test_embed_decides_what_evaluation_sees(gated):
    _, variables, memory = gated.ended[-1]
    images, stage = tiny.prepared(), jnp.int32(2)

    def embed(method: Method) -> Any:
        @tiny.quick
        def embed(images: jax.Array) -> jax.Array:
            given = {"memory": memory, "stage": stage, "modality": (0, 1)}
            return quiet(method).embed(variables, images, **given)

        return embed

    plain = embed(combine(gate=dataclasses.replace(gate(), embed=plain_embed)))
    sides = plain(images), plain(images[..., ::-1, :])
    found = embed(combine(gate=gate()))(images)
    chex.assert_trees_all_close(found, (sides[0] + sides[1]) / 2, atol=1e-6)
    assert differs(found, sides[0])


def test_examples_are_asked_for_by_memory(gated):
    wanted = [gated.learner.method.examples(memory) for _, _, memory in gated.ended]
    assert wanted[0].tolist() == [[0, 10]]
    assert wanted[2].tolist() == [[0, 10], [1, 11], [2, 12]]
    assert wanted[2].dtype == np.int32
