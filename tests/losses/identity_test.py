import chex
import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax.losses.identity import cross_entropy


def test_cross_entropy_equals_the_recorded_one(x64, golden):
    arrays = golden("losses")
    for case in ("random", "clustered", "shuffled"):
        logits = jnp.asarray(arrays[f"{case}/scores"], jnp.float64).reshape(2, 16, 5)
        labels = jnp.stack([arrays[f"{case}/label{i}"] for i in (1, 2)])
        loss, gradient = jax.value_and_grad(
            lambda x, y: cross_entropy(x, y).mean(axis=1).sum()
        )(logits, labels)
        assert abs(loss - arrays[f"{case}/f64/id"]) < 1e-12
        expected = arrays[f"{case}/f64/grad_scores"].reshape(2, 16, 5)
        chex.assert_trees_all_close(np.asarray(gradient), expected, atol=1e-14)


def test_masked_classes_are_as_if_they_were_not_there():
    logits = jnp.array([[2.0, 50.0, -1.0, 0.5], [0.0, -50.0, 1.0, 3.0]])
    mask = jnp.array([True, False, True, True])

    def masked(x):
        return cross_entropy(x, jnp.array([0, 3]), mask=mask)

    expected = cross_entropy(logits[:, jnp.array([0, 2, 3])], jnp.array([0, 2]))
    chex.assert_trees_all_close(masked(logits), expected, rtol=1e-6)
    gradient = jax.grad(lambda x: masked(x).sum())(logits)
    assert not gradient[:, 1].any()
    chex.assert_trees_all_close(gradient.sum(axis=1), jnp.zeros(2), atol=1e-6)


def test_large_logits_stay_finite():
    loss = cross_entropy(jnp.array([[1e4, -1e4]]), jnp.array([1]))
    assert loss.tolist() == [2e4]
