import numpy as np

from ckda_jax.parity.golden import Golden
from ckda_jax.parity.names import names_row
from ckda_jax.parity.table import MISS, OK

FILE = Golden("a.npz", {"names": np.array(["a", "b"])})


def test_same_names_in_any_order():
    assert names_row(FILE, "names", {"b", "a"}, "float32").verdict == OK


def test_error_counts_names_in_one_list_alone():
    row = names_row(FILE, "names", {"b", "c", "d"}, "float32")
    assert (row.verdict, row.error) == (MISS, 3.0)
