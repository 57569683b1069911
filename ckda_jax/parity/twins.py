"""The recording against itself: its float32 values beside their float64 twins.

Ours is judged against the float64 values; this row notices a float32 value that was
damaged or exchanged.
"""

from ckda_jax.parity import table
from ckda_jax.parity.golden import Golden, twins
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import Tolerance

# Five steps of Adam carry the noise of a zero gradient to 8e-4.
GAP = Tolerance(2e-3, "from one")
QUANTITY = "float32 beside float64, as recorded"


def compare(golden: Golden) -> list[Row]:
    """Compare what a file has in both types; no row where there is nothing."""
    arrays = golden.arrays
    pairs = {
        key: (value, arrays[twin])
        for key, value in arrays.items()
        for twin in twins(key)
        if twin in arrays and value.dtype.kind in "fiu"
    }
    where = (golden.name, QUANTITY, "-")
    return [table.family(where, pairs, GAP)] if pairs else []
