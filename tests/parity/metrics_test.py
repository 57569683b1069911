import numpy as np

from ckda_jax.parity import metrics
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.table import DIFFERENT
from tests.parity import folders


def test_recorded_scores_agree_and_all_are_read():
    file = folders.read("metrics.npz")
    rows = metrics.compare(file)
    assert folders.fine(rows)
    assert file.unread() == []
    assert [r.quantity for r in rows if r.verdict == DIFFERENT] == ["ragged"]


def test_a_changed_score_is_a_miss():
    file = folders.changed("metrics.npz", "mid/regdb/mAP", 1e-11)
    assert folders.missed(metrics.compare(file)) == ["mid/regdb/mAP"]


def test_scores_by_an_unknown_rule_stay_unread():
    arrays = dict(folders.read("metrics.npz").arrays)
    file = Golden("metrics.npz", arrays | {"small/other/mAP": np.array(0.5)})
    metrics.compare(file)
    assert file.unread() == ["small/other/mAP"]
