import chex
import jax
import jax.numpy as jnp
import pytest

from ckda_jax.methods.reduce import per_image, per_modality

VALUES = jnp.array([[1.0, 2.0, 3.0], [4.0, 8.0, 6.0]])


@pytest.mark.parametrize(
    ("present", "means", "mean"),
    [
        ((True, True), [2.0, 6.0], 4.0),
        ((True, False), [2.0, 0.0], 2.0),
        ((False, True), [0.0, 6.0], 6.0),
        ((False, False), [0.0, 0.0], 0.0),
    ],
)
def test_absent_modalities_are_left_out(present, means, mean):
    present = jnp.array(present)
    assert per_modality(VALUES, present).tolist() == means
    assert per_image(VALUES, present).tolist() == mean


def test_absent_values_have_no_gradient_even_where_they_are_infinite():
    present = jnp.array([True, False])
    value, gradient = jax.value_and_grad(per_image)(VALUES.at[1].set(jnp.inf), present)
    assert value == 2.0
    expected = jnp.array([[1.0] * 3, [0.0] * 3]) / 3
    chex.assert_trees_all_close(gradient, expected)
