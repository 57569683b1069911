"""Comparison of recorded lists of names."""

from collections.abc import Set

import numpy as np

from ckda_jax.parity import table
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import EQUAL


def names_row(golden: Golden, key: str, ours: Set[str], precision: str) -> Row:
    """Compare a list of names; the error is how many are in one of the two alone."""
    odd = ours ^ set(golden.expected(key).tolist())
    where = (golden.name, key, precision)
    return table.compared(where, np.asarray(len(odd)), np.asarray(0), EQUAL)
