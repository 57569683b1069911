import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ckda_jax.losses import metric
from ckda_jax.methods import parts
from ckda_jax.methods.parts import Metric
from tests import tiny

ALL = (True, True)
VISIBLE_ALONE = (True, False)
TRAINING_PARTS = {
    "identity": parts.identity(weight=2.0),
    "triplet": parts.triplet(Metric(margin=2.0)),
    "contrastive": parts.contrastive(weight=1.0),
    "centres": parts.centres(Metric(margin=2.0)),
    "cross": parts.cross(Metric(margin=2.0)),
    "prompt_consistency": parts.prompt_consistency(compare="train"),
}


def view(present=ALL, **changes):
    batch = jax.tree.map(jnp.asarray, tiny.batch(1, present=present))
    return tiny.view(**({"batch": batch} | changes))


def with_student(seen, **changes):
    return dataclasses.replace(seen, student=seen.student.replace(**changes))


def stacked(seen):
    features = seen.student.feature.reshape(-1, tiny.WIDTH)
    return features, seen.batch.labels.reshape(-1)


def test_identity_is_the_sum_over_modalities_of_means_among_the_stage_s_rows():
    seen = view()
    loss, metrics = parts.identity(weight=2.0).loss(seen)
    own = seen.student.logits[..., tiny.CLASSES : 2 * tiny.CLASSES]
    labels = seen.batch.labels - tiny.CLASSES
    values = optax.softmax_cross_entropy_with_integer_labels(own, labels)
    assert float(loss) == pytest.approx(2 * float(values.mean(axis=1).sum()), rel=1e-6)
    right = (own.argmax(-1) == labels).mean()
    assert float(metrics["accuracy"]) == pytest.approx(float(right))


def test_identity_gives_rows_of_other_stages_no_gradient():
    def loss(logits):
        return parts.identity().loss(with_student(view(), logits=logits))[0]

    gradient = tiny.quick(jax.grad(loss))(view().student.logits)
    own = np.zeros(tiny.STAGES * tiny.CLASSES, bool)
    own[tiny.CLASSES : 2 * tiny.CLASSES] = True
    assert not gradient[..., ~own].any() and gradient[..., own].all()


def test_triplet_is_the_mean_over_all_rows_of_both_modalities():
    seen = view()
    features, labels = stacked(seen)
    expected = 3 * metric.batch_hard(features, labels, margin=0.4).mean()
    loss, _ = parts.triplet(Metric(margin=0.4), weight=3.0).loss(seen)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6) and loss > 0


def test_triplet_compares_unit_features_where_asked():
    settings = Metric(margin=0.4, normalize=True)
    seen = view()
    doubled = with_student(seen, feature=2 * seen.student.feature)
    unit, again = (parts.triplet(settings).loss(v)[0] for v in (seen, doubled))
    assert float(unit) == pytest.approx(float(again), rel=1e-5)
    raw = parts.triplet(Metric(margin=0.4)).loss(seen)[0]
    assert abs(float(raw - unit)) > 0.1
    zero = with_student(seen, feature=jnp.zeros_like(seen.student.feature))
    assert float(parts.triplet(settings).loss(zero)[0]) == pytest.approx(0.4, rel=1e-5)


@pytest.mark.parametrize("make", [parts.triplet, parts.centres, parts.cross])
@pytest.mark.parametrize(("epoch", "starts"), [(1, False), (2, True), (3, True)])
def test_triplets_begin_at_their_epoch(make, epoch, starts):
    seen = view(epoch=jnp.int32(epoch))
    loss, _ = make(Metric(margin=2.0, start_epoch=2)).loss(seen)
    assert (float(loss) > 0) == starts


def test_contrastive_is_the_mean_over_all_rows_after_the_neck():
    seen = view()
    _, labels = stacked(seen)
    features = seen.student.neck.reshape(len(labels), -1)
    values = metric.supervised_contrastive(features, labels, temperature=0.5)
    loss, _ = parts.contrastive(weight=2.0, temperature=0.5).loss(seen)
    assert float(loss) == pytest.approx(2 * float(values.mean()), rel=1e-6)


def test_contrastive_is_off_by_default():
    assert parts.contrastive() == parts.Method()


@pytest.mark.parametrize("unique", [True, False])
def test_centres_count_identities_once_where_unique(unique):
    # Identity 4 has three of the four images in each modality.
    labels = jnp.array([[4, 4, 4, 5], [4, 5, 4, 4]])
    seen = view()
    seen = dataclasses.replace(seen, batch=seen.batch.replace(labels=labels))
    found = metric.centre_triplets(
        seen.student.feature, labels, margin=5.0, unique=unique
    )
    expected = 0.5 * (found.values * found.shares).sum()
    loss, _ = parts.centres(Metric(margin=5.0), unique=unique).loss(seen)
    other, _ = parts.centres(Metric(margin=5.0), unique=not unique).loss(seen)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    assert abs(float(loss - other)) > 1e-3


@pytest.mark.parametrize("anchor", metric.ANCHORS)
def test_cross_has_the_anchor_asked_for(anchor):
    seen = view()
    features, labels = seen.student.feature, seen.batch.labels
    found = metric.cross_triplets(features, labels, margin=5.0, anchor=anchor)
    expected = 0.5 * (found.values * found.shares).sum()
    loss, _ = parts.cross(Metric(margin=5.0), anchor=anchor).loss(seen)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    (other,) = set(metric.ANCHORS) - {anchor}
    different, _ = parts.cross(Metric(margin=5.0), anchor=other).loss(seen)
    assert abs(float(loss - different)) > 1e-3


@pytest.mark.parametrize("compare", parts.COMPARISONS)
def test_prompt_consistency_compares_the_prompt_asked_for(compare):
    clean = tiny.outputs(5).prompt
    seen = view(clean_prompt=lambda: clean)
    new = {"clean": clean, "train": seen.student.prompt}[compare]
    expected = 2 * jnp.abs(new - tiny.outputs(1).prompt).mean()
    loss, _ = parts.prompt_consistency(weight=2.0, compare=compare).loss(seen)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_prompt_consistency_must_know_what_to_compare():
    with pytest.raises(ValueError, match="compare='both': none of"):
        parts.prompt_consistency(compare="both")


@pytest.mark.parametrize("name", TRAINING_PARTS)
def test_rows_of_an_absent_modality_enter_no_loss(name):
    part = TRAINING_PARTS[name]

    @tiny.quick
    @functools.partial(jax.value_and_grad, has_aux=True)
    def differentiate(student):
        return part.loss(view(VISIBLE_ALONE, student=student))

    def strange(x):
        return x.at[1].set(50 + 3 * x[1])

    student = tiny.outputs()
    value, gradient = differentiate(student)
    other, again = differentiate(jax.tree.map(strange, student))
    chex.assert_trees_all_equal((value, gradient), (other, again))
    assert not any(leaf[1].any() for leaf in jax.tree.leaves(gradient))
    # Centres and cross triplets need two modalities; the others go on with one.
    assert (value[0] > 0) == (name not in {"centres", "cross"})
