import numpy as np
import pytest

from ckda_jax.models.positions import resize_positions, square_grid


@pytest.mark.parametrize("name", ["tiny", "full", "same", "up"])
def test_resize_is_the_reference_s(golden, name):
    arrays = golden("posembed")
    height, width = arrays[f"{name}_hw"].tolist()
    ours = resize_positions(
        arrays["pos_embed"], source=(14, 14), target=(height, width)
    )
    np.testing.assert_allclose(ours, arrays[name], rtol=0, atol=5e-6)


def test_the_class_token_and_a_constant_table_stay():
    table = np.full((1, 1 + 6, 2), 3.0)
    table[0, 0] = -1.0
    ours = resize_positions(table, source=(2, 3), target=(5, 4))
    assert ours.shape == (1, 21, 2)
    assert (ours[0, 0] == -1).all()
    np.testing.assert_allclose(ours[0, 1:], 3.0, rtol=1e-15)


def test_half_pixel_centres_and_clamped_edges():
    table = np.array([[[9.0], [0.0], [1.0]]])
    ours = resize_positions(table, source=(1, 2), target=(1, 4))
    np.testing.assert_allclose(ours[0, 1:, 0], [0, 0.25, 0.75, 1])


def test_half_precision_widens_to_float32():
    table = np.zeros((1, 5, 2), np.float16)
    assert resize_positions(table, source=(2, 2), target=(3, 3)).dtype == np.float32


def test_a_grid_that_does_not_fit():
    with pytest.raises(AssertionError):
        resize_positions(np.zeros((1, 6, 2)), source=(2, 2), target=(1, 1))


def test_square_grid_needs_a_square():
    assert square_grid(5) == (2, 2)
    assert square_grid(6) is None
