"""Comparison of the retrieval scores."""

import numpy as np

from ckda_jax.parity import table
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import CURVE, SCORE
from ckda_jax.retrieval.metrics import Metrics, evaluate
from ckda_jax.retrieval.protocols import RULES

RULE_NAMES = {"sysu": "sysu", "regdb": "standard"}
"""Names of the evaluation functions, theirs to ours."""
RAGGED = (
    "the reference raises {error} where queries keep different numbers of identities; "
    "ours goes on with the last value (mAP {mAP:.3f} here)"
)


def compare(golden: Golden) -> list[Row]:
    """Score every recorded distance matrix by every recorded rule."""
    rows = []
    for case in dict.fromkeys(key.partition("/")[0] for key in golden.arrays):
        if f"{case}/error" in golden.arrays:
            rows.append(ragged(golden, case))
        for theirs, ours in RULE_NAMES.items():
            if f"{case}/{theirs}/mAP" in golden.arrays:
                rows += scores(golden, f"{case}/{theirs}", score(golden, case, ours))
    return rows


def score(golden: Golden, case: str, rule: str) -> Metrics:
    """Score one case by one of our rules."""
    return evaluate(
        golden.take(f"{case}/distmat"),
        golden.take(f"{case}/q_pids"),
        golden.take(f"{case}/q_cams"),
        golden.take(f"{case}/g_pids"),
        golden.take(f"{case}/g_cams"),
        RULES[rule],
    )


def scores(golden: Golden, prefix: str, ours: Metrics) -> list[Row]:
    """Compare one case's scores; the curve over as many ranks as were recorded."""
    rows = []
    for name in ("mAP", "mINP"):
        where = (golden.name, f"{prefix}/{name}", "float64")
        value = np.asarray(getattr(ours, name))
        expected = golden.take(f"{prefix}/{name}")
        rows.append(table.compared(where, value, expected, SCORE))
    curve = golden.take(f"{prefix}/cmc")
    where = (golden.name, f"{prefix}/cmc", "float64")
    return [*rows, table.compared(where, ours.cmc[: len(curve)], curve, CURVE)]


def ragged(golden: Golden, case: str) -> Row:
    """State that ours scores what the reference cannot."""
    ours = score(golden, case, "sysu")
    error = str(golden.take(f"{case}/error"))
    reason = RAGGED.format(error=error, mAP=ours.mAP)
    return table.different(golden.name, case, reason)
