import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models.alignment import AlignmentEngine
from tests.models import tiny

RNG = np.random.default_rng(0)
ALL = jnp.ones((2, 7), bool)


@pytest.fixture(params=["random", "clustered", "shuffled"])
def case(request, golden):
    """Features, prototypes and results of one recorded batch."""
    prefix = f"{request.param}/"
    arrays = golden("losses")
    return {
        k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)
    }


def spaces(case, engine, name="feats"):
    features = jnp.asarray(case[name], jnp.float64).reshape(2, 16, 48)
    prototypes = np.stack([case["vis_proto"], case["inf_proto"]])
    return tiny.apply(engine, {}, features, jnp.asarray(prototypes, jnp.float64), ALL)


def test_direct_equals_the_recorded_probabilities(x64, case):
    for name, mid in (("feats", "new"), ("feats_old", "old")):
        found = spaces(case, AlignmentEngine(), name)
        probabilities = jax.nn.softmax(found.intra[0])
        expected = case[f"f64/mid_vis_p_{mid}"]
        chex.assert_trees_all_close(np.asarray(probabilities), expected, atol=1e-12)


def test_pairwise_equals_the_recorded_relations(x64, case):
    engine = AlignmentEngine(relation="pairwise", relation_temperature=10.0)
    for name, mid in (("feats", "new"), ("feats_old", "old")):
        relations = jax.nn.softmax(spaces(case, engine, name).intra)
        expected = [case[f"f64/mid_{m}_rel_{mid}"] for m in ("vis", "inf")]
        chex.assert_trees_all_close(
            np.asarray(relations), np.stack(expected), atol=1e-12
        )


def test_relation_temperature_divides(x64, case):
    made = [
        spaces(case, AlignmentEngine(relation="pairwise", relation_temperature=t))
        for t in (10.0, 0.1)
    ]
    chex.assert_trees_all_close(made[1].intra, 100 * made[0].intra, rtol=1e-12)
    # Multiplied by .1, as released, no relation is e^.1 times another of its row.
    flat, sharp = (jnp.ptp(m.intra, axis=-1) for m in made)
    assert float(flat.max()) < 0.1 < 1 < float(sharp.min())


def test_relation_chooses_what_is_compared(x64, case):
    direct = spaces(case, AlignmentEngine())
    pairwise = spaces(case, AlignmentEngine(relation="pairwise"))
    chex.assert_shape([direct.intra, direct.inter], [(2, 16, 7), (2, 1, 16, 7)])
    chex.assert_shape([pairwise.intra, pairwise.inter], [(2, 16, 16), (2, 1, 16, 16)])


def random_input(m, b=3, k=4, d=5):
    features, prototypes = RNG.normal(size=(m, b, d)), RNG.normal(size=(m, k, d))
    return jnp.asarray(features, jnp.float32), jnp.asarray(prototypes, jnp.float32)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_spaces_hold_cosines_to_own_and_other_prototypes(m):
    features, prototypes = random_input(m)
    mask = jnp.ones((m, 4), bool)
    found = tiny.apply(AlignmentEngine(temperature=0.5), {}, features, prototypes, mask)
    chex.assert_shape(found.inter, (m, m - 1, 3, 4))
    x = features / jnp.linalg.norm(features, axis=-1, keepdims=True)
    q = prototypes / jnp.linalg.norm(prototypes, axis=-1, keepdims=True)
    for i in range(m):
        chex.assert_trees_all_close(found.intra[i], x[i] @ q[i].T / 0.5, atol=1e-5)
        for place, j in enumerate(j for j in range(m) if j != i):
            expected = x[i] @ q[j].T / 0.5
            chex.assert_trees_all_close(found.inter[i, place], expected, atol=1e-5)


@pytest.mark.parametrize("relation", ["direct", "pairwise"])
def test_padded_prototypes_have_no_influence(relation):
    features, prototypes = random_input(2)
    engine = AlignmentEngine(relation=relation)
    mask = jnp.ones((2, 4), bool).at[1, 3].set(False)

    def distributions(prototypes):
        found = tiny.apply(engine, {}, features, prototypes, mask)
        return jax.tree.map(jax.nn.softmax, found)

    padded = distributions(prototypes.at[1, 3].set(0.0))
    chex.assert_trees_all_equal(padded, distributions(prototypes))
    chex.assert_tree_all_finite(padded)
    if relation == "direct":
        assert (padded.intra[1, :, 3] == 0).all() and (padded.intra[0, :, 3] > 0).all()


@pytest.mark.parametrize("relation", ["direct", "pairwise"])
def test_a_modality_without_prototypes_says_nothing(relation):
    features, prototypes = random_input(2)
    mask = jnp.array([[True] * 4, [False] * 4])
    engine = AlignmentEngine(relation=relation)

    def last(features):
        return tiny.apply(engine, {}, features, prototypes, mask).intra[1].sum()

    found = tiny.apply(engine, {}, features, prototypes, mask)
    chex.assert_tree_all_finite(found)
    uniform = jax.nn.softmax(found.intra[1])
    chex.assert_trees_all_close(uniform, jnp.full_like(uniform, 1 / uniform.shape[-1]))
    assert not jax.grad(last)(features).any()


def test_only_the_direction_counts_and_zero_is_safe():
    features, prototypes = random_input(2)
    mask = jnp.ones((2, 4), bool)
    engine = AlignmentEngine()
    found = tiny.apply(engine, {}, features, prototypes, mask)
    scaled = tiny.apply(engine, {}, 100 * features, prototypes / 8, mask)
    chex.assert_trees_all_close(found, scaled, atol=1e-5)
    zero = jnp.zeros_like(features)
    value, gradient = jax.value_and_grad(
        lambda x: tiny.apply(engine, {}, x, prototypes, mask).intra.sum()
    )(zero)
    chex.assert_tree_all_finite((value, gradient))


def test_unknown_relation_is_refused():
    with pytest.raises(ValueError, match="relation='both': not one of"):
        AlignmentEngine(relation="both").apply({}, *random_input(2), ALL[:, :4])
