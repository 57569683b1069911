import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.losses import metric

CASES = ("random", "clustered", "shuffled")
MARGIN = 0.1


def case(arrays, name, dtype):
    """Features and labels `[m, b, ..]` of a recorded batch, and a reader of results."""
    features = jnp.asarray(arrays[f"{name}/feats"], dtype)
    labels = jnp.stack([arrays[f"{name}/label{i}"] for i in (1, 2)])
    return features.reshape(2, -1, 48), labels


def total(weighted):
    return jnp.sum(weighted.values * weighted.shares)


def means(weighted):
    """Average each pair of modalities alone."""
    pairs = jnp.sum(weighted.shares, axis=1)
    return jnp.sum(weighted.values * weighted.shares, axis=1) / pairs


def terms(features, labels, unique=False):
    """The metric terms of the released code, by their recorded names."""
    options = {"margin": MARGIN, "unique": unique}
    centre = metric.centre_triplets(features, labels, **options)
    cross = metric.cross_triplets(features, labels, **options)
    (cent_12, cent_21), (f1_m2, m1_f2) = means(centre), means(cross)
    return {
        "cent_12": cent_12,
        "cent_21": cent_21,
        "tri_cent": total(centre),
        "cross_f1_m2": f1_m2,
        "cross_m1_f2": m1_f2,
        "tri_cross": total(cross),
    }


def all_terms(features, labels):
    rows = features.reshape(-1, 48)
    hard = metric.batch_hard(rows, labels.reshape(-1), margin=MARGIN)
    return {"tri": jnp.mean(hard), **terms(features, labels)}


@functools.cache
def both(function):
    """Compile a dict of losses together with their gradients."""
    return jax.jit(lambda *x: (function(*x), jax.jacrev(function)(*x)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("dtype", "rtol", "gradient_rtol"),
    [("float64", 1e-12, 1e-12), ("float32", 1e-5, 1e-4)],
)
def test_terms_equal_the_recorded_ones(x64, golden, name, dtype, rtol, gradient_rtol):
    arrays = golden("losses")
    features, labels = case(arrays, name, dtype)
    values, gradients = both(all_terms)(features, labels)
    for term, value in values.items():
        expected = arrays[f"{name}/f64/{term}"]
        assert float(value) == pytest.approx(expected, rel=rtol, abs=1e-15), term
        key = f"{name}/f64/grad_feats_{term}"
        if key in arrays:
            gradient = np.asarray(gradients[term], np.float64).reshape(-1, 48)
            error = np.linalg.norm(gradient - arrays[key])
            assert error <= gradient_rtol * np.linalg.norm(arrays[key]), term


def test_terms_of_uneven_counts_equal_the_recorded_ones(golden):
    arrays = golden("losses")
    features, labels = case(arrays, "uneven", jnp.float32)
    values, gradients = both(terms)(features, labels)
    for term, value in values.items():
        assert float(value) == pytest.approx(float(arrays[f"uneven/{term}"]), rel=1e-5)
        expected = arrays[f"uneven/grad_feats_{term}"].reshape(2, -1, 48)
        chex.assert_trees_all_close(np.asarray(gradients[term]), expected, atol=1e-6)


def test_unique_centres_do_not_count_identities_by_their_images(golden):
    arrays = golden("losses")
    features, labels = case(arrays, "uneven", jnp.float32)
    unique, repeated = (
        jax.jit(functools.partial(terms, unique=u))(features, labels)
        for u in (True, False)
    )
    for term in ("cent_12", "cross_m1_f2"):
        expected = float(arrays[f"uneven/unique_{term}"])
        assert float(unique[term]) == pytest.approx(expected, rel=1e-5)
        assert abs(float(unique[term] - repeated[term])) > 1e-3
    # What is anchored on samples does not ask how often a centre is repeated.
    assert float(unique["cross_f1_m2"]) == pytest.approx(
        float(repeated["cross_f1_m2"]), rel=1e-6
    )


def test_an_identity_missing_from_a_modality_contributes_zero(golden):
    arrays = golden("losses")
    features, labels = case(arrays, "missing", jnp.float32)
    values = jax.jit(terms)(features, labels)
    for term in ("cent_12", "cent_21", "cross_f1_m2"):
        expected = float(arrays[f"missing/{term}"])
        assert float(values[term]) == pytest.approx(expected, rel=1e-5)


def test_anchor_mirrors_the_second_half(golden):
    features, labels = case(golden("losses"), "random", jnp.float32)
    found = {
        anchor: metric.cross_triplets(features, labels, margin=MARGIN, anchor=anchor)
        for anchor in metric.ANCHORS
    }
    centre, sample = found["centre"], found["sample"]
    chex.assert_trees_all_equal(centre.values[0], sample.values[0])
    assert abs(float(total(centre) - total(sample))) > 0.01
    # Exchanging the modalities exchanges the halves when both are anchored on samples.
    mirrored = metric.cross_triplets(
        features[::-1], labels[::-1], margin=MARGIN, anchor="sample"
    )
    chex.assert_trees_all_close(mirrored.values[::-1], sample.values, atol=1e-5)


def test_unknown_anchor_is_refused():
    with pytest.raises(ValueError, match="anchor='both': not one of"):
        features, labels = jnp.zeros((2, 1, 3)), jnp.zeros((2, 1), int)
        metric.cross_triplets(features, labels, margin=MARGIN, anchor="both")


def slow_triplet(anchors, candidates, margin):
    """The same in loops, NumPy and float64."""
    values = []
    for x, label in zip(anchors[0], anchors[1], strict=True):
        distances = np.linalg.norm(candidates[0] - x, axis=1)
        same = candidates[1] == label
        if not same.any() or same.all():
            values.append(0.0)
            continue
        gap = distances[same].max() - distances[~same].min() + margin
        values.append(max(0.0, gap))
    return np.array(values)


def random_rows(n, classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return rng.normal(size=(n, 4)) + 2 * labels[:, None], labels


def points(rows, mask=None):
    features, labels = rows
    mask = np.ones(len(labels), bool) if mask is None else mask
    return metric.Points(*(jnp.asarray(x) for x in (features, labels, mask)))


def test_triplet_equals_loops(x64):
    a, b = random_rows(9, 4), random_rows(7, 4, seed=1)
    found = metric.triplet(points(a), points(b), margin=0.3)
    expected = slow_triplet(a, b, 0.3)
    assert (expected == 0).any() and (expected > 0).any()
    chex.assert_trees_all_close(np.asarray(found), expected, atol=1e-12)


def test_masked_points_are_as_if_they_were_not_there(x64):
    features, labels = random_rows(12, 3)
    mask = np.arange(12) % 3 != 0
    found = metric.batch_hard(
        *(jnp.asarray(x) for x in (features, labels)),
        margin=0.3,
        mask=jnp.asarray(mask),
    )
    left = features[mask], labels[mask]
    expected = slow_triplet(left, left, 0.3)
    chex.assert_trees_all_close(np.asarray(found)[mask], expected, atol=1e-12)
    assert not found[~mask].any()


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_gradients_are_finite_without_positives_or_negatives(labels):
    features = jnp.zeros((3, 4))
    value, gradient = jax.value_and_grad(
        lambda x: metric.batch_hard(x, jnp.array(labels), margin=0.1).sum()
    )(features)
    chex.assert_tree_all_finite((value, gradient))


def three(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.permutation([0, 0, 1, 1, 2, 2]) for _ in range(3)])
    return jnp.asarray(rng.normal(size=(3, 6, 4))), jnp.asarray(labels)


LOSSES = [metric.centre_triplets, metric.cross_triplets]


def jitted(loss):
    return jax.jit(functools.partial(loss, margin=MARGIN))


@pytest.mark.parametrize("loss", LOSSES)
def test_three_modalities_average_over_all_pairs(x64, loss):
    features, labels = three()
    run = jitted(loss)
    found = run(features, labels)
    chex.assert_shape(found.values, (6, 6))
    assert float(found.shares.sum()) == pytest.approx(1)
    pairs = [
        total(run(features[ids], labels[ids]))
        for ids in (jnp.array(p) for p in ((0, 1), (0, 2), (1, 2)))
    ]
    assert float(total(found)) == pytest.approx(float(sum(pairs)) / 3)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_absent_modality_forms_no_pair(x64, loss):
    features, labels = three()
    present = jnp.array([True, False, True])
    run = jitted(loss)
    found = run(features, labels, present=present)
    ids = jnp.array([0, 2])
    expected = run(features[ids], labels[ids])
    assert float(total(found)) == pytest.approx(float(total(expected)))
    gradient = jax.grad(lambda x: total(run(x, labels, present=present)))(features)
    assert not gradient[1].any()
    alone = run(features, labels, present=jnp.arange(3) == 0)
    assert float(alone.shares.sum()) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_one_modality_has_no_pairs(loss):
    features, labels = three()
    found = loss(features[:1], labels[:1], margin=MARGIN)
    chex.assert_shape(found.values, (0, 6))
    assert float(total(found)) == 0


def slow_contrastive(features, labels, temperature):
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    values = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        scores = {j: z[i] @ z[j] / temperature for j in others}
        log_sum = np.log(sum(np.exp(s) for s in scores.values()))
        logs = [scores[j] - log_sum for j in others if labels[j] == labels[i]]
        values.append(-np.mean(logs) if logs else 0.0)
    return np.array(values)


def test_supervised_contrastive_equals_loops(x64):
    features, labels = random_rows(10, 4, seed=3)
    mask = np.arange(10) != 2
    found = metric.supervised_contrastive(
        jnp.asarray(features),
        jnp.asarray(labels),
        temperature=0.2,
        mask=jnp.asarray(mask),
    )
    expected = slow_contrastive(features[mask], labels[mask], 0.2)
    chex.assert_trees_all_close(np.asarray(found)[mask], expected, atol=1e-12)
    assert found[2] == 0


def test_supervised_contrastive_is_finite_at_zero():
    value, gradient = jax.value_and_grad(
        lambda x: metric.supervised_contrastive(
            x, jnp.array([0, 0, 1]), temperature=0.1
        ).sum()
    )(jnp.zeros((3, 4)))
    chex.assert_tree_all_finite((value, gradient))
