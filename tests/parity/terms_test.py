import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.parity import terms


@pytest.fixture
def draw():
    rng = np.random.default_rng(0)
    return lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)


def test_padded_prototypes_change_nothing(draw):
    features, teacher = draw(2, 4, 8), draw(2, 4, 8)
    visible, infrared = np.asarray(draw(3, 8)), np.asarray(draw(2, 8))
    known = terms.prototypes(visible, infrared, "float32")
    assert known.mask.tolist() == [[True] * 3, [True, True, False]]
    wild = known.replace(values=known.values.at[1, 2].set(99.0))
    ours = terms.alignment_terms(features, teacher, known)
    for name, value in terms.alignment_terms(features, teacher, wild).items():
        np.testing.assert_array_equal(value, ours[name], err_msg=name)


def test_identity_terms_of_equal_scores(draw):
    found = terms.identity_terms(jnp.zeros((2, 3, 4)), jnp.zeros((2, 3), jnp.int32))
    assert float(found["id"]) == pytest.approx(2 * np.log(4), rel=1e-6)
    mask = jnp.array([True, True, False, False])
    found = terms.identity_terms(
        jnp.zeros((2, 3, 4)), jnp.zeros((2, 3), jnp.int32), mask
    )
    assert float(found["ce_vis"]) == pytest.approx(np.log(2), rel=1e-6)


def test_both_centre_terms_are_the_means_of_their_directions(draw):
    labels = jnp.array([[0, 0, 1, 1], [1, 0, 1, 0]])
    found = terms.centre_terms(draw(2, 4, 8), labels, 0.1)
    centre = (found["cent_12"] + found["cent_21"]) / 2
    cross = (found["cross_f1_m2"] + found["cross_m1_f2"]) / 2
    np.testing.assert_allclose(found["tri_cent"], centre, rtol=1e-6)
    np.testing.assert_allclose(found["tri_cross"], cross, rtol=1e-6)


def test_centre_maps_have_a_row_per_image_sorted_by_label():
    features = jnp.arange(8.0).reshape(2, 4, 1)
    labels = jnp.array([[1, 0, 1, 0], [0, 0, 1, 1]])
    maps = terms.centre_maps(features, labels)
    assert maps["mid_feat1_mean"][:, 0].tolist() == [2, 2, 1, 1]
    assert maps["mid_feat1_mean_label"].tolist() == [0, 0, 1, 1]


def test_relations_of_the_batch_are_distributions(draw):
    known = terms.prototypes(np.asarray(draw(3, 8)), np.asarray(draw(3, 8)), "float32")
    maps = terms.alignment_maps(draw(2, 4, 8), draw(2, 4, 8), known)
    assert maps["mid_inf_rel_old"].shape == (4, 4)
    for name, value in maps.items():
        np.testing.assert_allclose(value.sum(axis=1), 1, rtol=1e-5, err_msg=name)
