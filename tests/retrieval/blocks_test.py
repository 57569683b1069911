import numpy as np
import pytest

from ckda_jax.retrieval.blocks import check_widths, finite, slices
from ckda_jax.structs import InputError


def test_slices_cover_a_length_once():
    for length, step in ((0, 3), (1, 3), (6, 3), (7, 3), (7, 100)):
        covered = [i for part in slices(length, step) for i in range(length)[part]]
        assert covered == list(range(length))


def test_finite_reads_half_precision():
    found = finite(np.array([0.5, -2], np.float16), "query")
    assert (found.dtype, found.tolist()) == (np.float32, [0.5, -2])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_finite_refuses_the_rest(wrong):
    with pytest.raises(InputError, match="a query embedding is not finite"):
        finite(np.array([0.5, wrong]), "query")


def test_widths_must_be_equal():
    check_widths(np.ones((2, 3)), np.ones((5, 3)))
    with pytest.raises(InputError, match="width 3 .* gallery of width 4"):
        check_widths(np.ones((2, 3)), np.ones((5, 4)))
