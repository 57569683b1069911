"""The reference's batch sampler, which ours does not copy."""

import numpy as np

from ckda_jax.parity import table
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.table import Row

REASON = (
    "the reference repeats its first batch and draws images with replacement; ours "
    "draws distinct batches, without replacement where it can"
)
OTHERWISE = "the recorded sampler does not repeat its first batch, as it is known to"


def compare(golden: Golden) -> list[Row]:
    """State the difference, once the recording shows the defect it is founded on."""
    size = int(golden.take("batch_size"))
    indices = golden.excuse(r"(big_)?index[12]")
    golden.excuse(
        r"color_label|thermal_label|N|length|per_img|np_seed|big_(label|seed)"
    )
    repeated = [
        np.array_equal(drawn[:size], drawn[size : 2 * size])
        for drawn in (golden.take(key) for key in indices)
        if len(drawn) >= 2 * size
    ]
    if not all(repeated):
        return [table.unknown(golden.name, "*", OTHERWISE)]
    return [table.different(golden.name, "*", REASON)]
