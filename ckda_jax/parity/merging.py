"""Comparison of the weight merge at a stage's end."""

import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax.methods.base import StageEnd
from ckda_jax.models.weights import merge_extras
from ckda_jax.parity import method, table
from ckda_jax.parity.golden import Geometry, Golden
from ckda_jax.parity.method import Weights
from ckda_jax.parity.names import names_row
from ckda_jax.parity.stages import Stages, stages
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import EQUAL, MERGE
from ckda_jax.structs import Tree


def compare(golden: Golden, geometry: Geometry, precision: str) -> list[Row]:
    """Merge every recorded pair of states."""
    old_weight = float(golden.take("alpha"))
    rows = []
    for case in dict.fromkeys(k.partition("/")[0] for k in golden.arrays if "/" in k):
        new, old = golden.state(f"{case}/new/"), golden.state(f"{case}/old/")
        pair = stages(geometry, new, old, precision)
        ours = pair.export(merge(pair, old_weight))
        extras = merge_extras(pair.extras, old, old_weight=old_weight)
        counters = {k: v for k, v in extras.items() if v.dtype.kind in "iu"}
        named = f"{case}/merged/"
        rows.append(names_row(golden, "int_buffer_names", {*counters}, precision))
        ours |= {k: v for k, v in extras.items() if k not in counters}
        for part, found, tolerance in (
            ("*", ours, MERGE),
            ("*.num_batches_tracked", counters, EQUAL),
        ):
            names = [k for k in found if named + k in golden.arrays]
            pairs = {k: (found[k], golden.take(named + k)) for k in names}
            where = (golden.name, named + part, precision)
            rows.append(table.family(where, pairs, tolerance))
    return rows


def merge(pair: Stages, old_weight: float) -> Tree:
    """Run the method's merge as at a stage's end."""
    merging = method.method(Weights(ema_weight=old_weight), capacity=1).merge
    end = StageEnd(
        variables=pair.student,
        stage=pair.info,
        previous=pair.previous,
        datasets=(),
        labels=np.zeros(0, np.int64),
        modality=np.zeros(0, np.int64),
        sums=lambda rows, modality, count: jnp.zeros((count, 0)),
        key=jax.random.key(0),
    )
    return merging(pair.student, pair.teacher, end)
