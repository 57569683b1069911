import numpy as np
import pytest

from ckda_jax.parity import positional
from ckda_jax.parity.golden import Golden
from ckda_jax.structs import InputError
from tests.parity import folders


def test_recorded_tables_agree_and_all_are_read():
    file = folders.read("posembed.npz")
    assert folders.fine(positional.compare(file))
    assert file.unread() == []


def test_a_changed_value_is_a_miss():
    file = folders.changed("posembed.npz", "full", 1e-5)
    assert folders.missed(positional.compare(file)) == ["full"]


def test_a_table_that_is_no_square():
    with pytest.raises(InputError, match="no square grid"):
        positional.compare(Golden("posembed.npz", {"pos_embed": np.zeros((1, 7, 2))}))
