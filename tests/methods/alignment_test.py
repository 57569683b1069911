import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.losses import distill
from ckda_jax.methods.alignment import alignment, prototypes_of
from ckda_jax.models.alignment import AlignmentEngine
from ckda_jax.structs import INFRARED, VISIBLE
from tests import tiny

ENGINE = AlignmentEngine()


def part(engine=ENGINE, **options):
    return alignment(engine, capacity=tiny.CAPACITY, **options)


def made():
    return tiny.variables(tiny.model())


@functools.cache
def known():
    """Prototypes of a stage, the last row of the table left empty."""
    return part().consolidate(part().init(jax.random.key(0), made()), end())


def end(**changes):
    return tiny.stage_end({}, **changes)


def loss(method, student=None, **changes):
    @tiny.quick
    def compute(student, memory):
        return method.loss(tiny.view(memory, student=student, **changes))

    value, metrics = compute(student or tiny.outputs(), known())
    return float(value), {name: float(v) for name, v in metrics.items()}


def test_terms_are_divergences_from_the_teacher_s_embedding():
    @tiny.quick
    def divergences(student, teacher, memory):
        table = memory["prototypes"], memory["mask"]
        new, old = (ENGINE.apply({}, out.neck, *table) for out in (student, teacher))
        return jax.tree.map(lambda n, o: distill.kl(n, o).mean(), new, old)

    view = tiny.view()
    intra, inter = map(float, divergences(view.student, view.teacher, known()))
    value, metrics = loss(part(weight=2.0, inter_weight=0.25))
    assert metrics == pytest.approx({"intra": intra, "inter": inter}, rel=1e-6)
    assert value == pytest.approx(2 * (0.75 * intra + 0.25 * inter), rel=1e-6)
    assert min(intra, inter) > 0.1


def test_the_first_stage_has_nothing_to_align_with():
    value, metrics = loss(part(), teacher=None)
    assert value == 0 and metrics == {"intra": 0, "inter": 0}


@pytest.mark.parametrize("relation", ["direct", "pairwise"])
def test_equal_models_are_aligned_in_the_neck_alone(relation):
    # The released code sets the student's feature against the teacher's neck.
    engine = AlignmentEngine(relation=relation)
    same = tiny.outputs()
    values = {
        space: loss(part(engine, student_space=space), student=same, teacher=same)[0]
        for space in ("neck", "feature")
    }
    assert values["neck"] < 1e-12
    assert values["feature"] > 0.01


def test_relation_and_its_temperature_decide_how_hard_alignment_pulls():
    def value(**engine):
        return loss(part(AlignmentEngine(**engine)))[0]

    direct = value(relation="direct")
    sharp = value(relation="pairwise", relation_temperature=0.1)
    released = value(relation="pairwise", relation_temperature=10.0)
    # A factor of 0.1 on cosines: no two log-probabilities differ by more than 0.1.
    assert 0 < released < 0.005
    assert sharp > 20 * released and direct > 20 * released
    assert abs(direct - sharp) > 0.1
    assert direct == value(relation="direct", relation_temperature=10.0)


def test_rows_of_an_absent_modality_enter_no_term():
    batch = jax.tree.map(jnp.asarray, tiny.batch(1, present=(True, False)))

    @tiny.quick
    @jax.value_and_grad
    def differentiate(neck, memory):
        student = tiny.outputs().replace(neck=neck)
        return part().loss(tiny.view(memory, batch=batch, student=student))[0]

    neck, memory = tiny.outputs().neck, known()
    value, gradient = differentiate(neck, memory)
    chex.assert_trees_all_equal(
        (value, gradient), differentiate(neck.at[1].set(7.0), memory)
    )
    assert value > 0 and gradient[0].all() and not gradient[1].any()


def test_one_modality_alone_has_no_inter_space():
    def first(tree):
        return jax.tree.map(lambda x: jnp.asarray(x[:1]), tree)

    student, teacher, batch = map(
        first, (tiny.outputs(), tiny.outputs(1), tiny.batch(1))
    )
    view = tiny.view(first(known()), student=student, teacher=teacher, batch=batch)
    value, metrics = part(inter_weight=0.25).loss(view)
    assert metrics["inter"] == 0
    assert float(value) == pytest.approx(0.75 * float(metrics["intra"])) != 0


@pytest.mark.parametrize("relation", ["direct", "pairwise"])
@pytest.mark.parametrize("present", [(True, True, False), (True, True, True)])
def test_a_modality_the_last_stage_lacked_has_no_part(relation, present):
    """Two modalities with prototypes and one without are aligned as the two alone."""

    def three(x):
        return jnp.concatenate([x, x[:1] * 0.5 + 1])

    method = part(AlignmentEngine(relation=relation), inter_weight=0.25)
    mask = known()["mask"]
    memory = {
        "prototypes": three(known()["prototypes"]),
        "mask": jnp.concatenate([mask, jnp.zeros_like(mask[:1])]),
    }
    student, teacher = (
        tiny.outputs(seed).replace(neck=three(tiny.outputs(seed).neck))
        for seed in (0, 1)
    )
    batch = jax.tree.map(jnp.asarray, tiny.batch(1))
    batch = batch.replace(present=jnp.array(present))

    @tiny.quick
    def compute(student, memory):
        view = tiny.view(memory, student=student, teacher=teacher, batch=batch)
        return method.loss(view)

    value, metrics = compute(student, memory)
    intra, inter = float(metrics["intra"]), float(metrics["inter"])
    wanted, terms = loss(method, teacher=tiny.outputs(1))
    assert intra == pytest.approx(terms["intra"], rel=1e-6)
    if present[2]:
        # Its images are compared with the others' prototypes: one term of three.
        assert inter != pytest.approx(terms["inter"], rel=1e-3)
    else:
        assert inter == pytest.approx(terms["inter"], rel=1e-6)
        assert float(value) == pytest.approx(wanted, rel=1e-6)


def test_memory_starts_empty_and_keeps_its_layout():
    method = part()
    start = method.init(jax.random.key(0), made())
    assert not start["mask"].any() and not start["prototypes"].any()
    later = method.consolidate(start, end())
    chex.assert_trees_all_equal_shapes_and_dtypes(start, later)
    expected = [True] * tiny.CLASSES + [False]
    assert later["mask"].tolist() == [expected, expected]
    assert not later["prototypes"][:, -1].any()


def test_prototypes_are_means_of_unit_embeddings_by_a_loop():
    ended = end()
    means, found = prototypes_of(ended, INFRARED, INFRARED, tiny.CAPACITY)
    assert found.tolist() == [True] * tiny.CLASSES + [False]
    for identity in range(tiny.CLASSES):
        own = (ended.labels == identity) & (ended.modality == INFRARED)
        each = [
            ended.sums(np.array([row]), INFRARED, tiny.CAPACITY)[identity]
            for row in np.flatnonzero(own)
        ]
        assert np.linalg.norm(each, axis=1) == pytest.approx(1, abs=1e-6)
        chex.assert_trees_all_close(means[identity], np.mean(each, axis=0), rtol=1e-5)
    assert (np.linalg.norm(means[:-1], axis=1) < 0.99).all()
    assert not means[-1].any()


def test_an_identity_without_images_has_no_prototype():
    ended = end()
    labels, modality = ended.labels, ended.modality
    kept = (labels != 2) | (modality == VISIBLE)
    ended = end(labels=labels[kept], modality=modality[kept])
    memory = part().consolidate(part().init(jax.random.key(0), made()), ended)
    assert memory["mask"][1].tolist() == [True, True, False, True, False]
    assert memory["mask"][0].tolist() == [True, True, True, True, False]
    assert not memory["prototypes"][1, 2].any()


def test_a_stage_without_a_modality_leaves_no_prototypes_of_it():
    ended = end()
    kept = ended.modality == VISIBLE
    ended = end(labels=ended.labels[kept], modality=ended.modality[kept])
    memory = part().consolidate(part().init(jax.random.key(0), made()), ended)
    assert memory["mask"].any(axis=1).tolist() == [True, False]
    assert not memory["prototypes"][INFRARED].any()


@pytest.mark.parametrize(("dataset", "source"), [("regdb", 0), ("sysu", 1)])
def test_infrared_prototypes_may_come_from_visible_images(dataset, source):
    method = part(infrared_from_visible=frozenset({"regdb"}))
    ended = end(datasets=(dataset,))
    memory = method.consolidate(method.init(jax.random.key(0), made()), ended)
    for modality, images in ((VISIBLE, VISIBLE), (INFRARED, source)):
        expected, _ = prototypes_of(ended, modality, images, tiny.CAPACITY)
        own = memory["prototypes"][modality]
        chex.assert_trees_all_close(own, expected, rtol=1e-6)
    other, _ = prototypes_of(ended, INFRARED, 1 - source, tiny.CAPACITY)
    own = memory["prototypes"][INFRARED]
    assert np.abs(own - other).max() > 0.1


def test_student_space_must_be_known():
    with pytest.raises(ValueError, match="student_space='logits': none of"):
        part(student_space="logits")
