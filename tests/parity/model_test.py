from ckda_jax.parity import model
from ckda_jax.parity.golden import geometry
from tests.parity import folders


def test_changed_values_are_the_only_misses():
    file = folders.changed("model_tiny.npz", "eval/mid_block1_attn", 1e-3)
    for key in ("f64/eval/feat_l2_allinf", "f64/train/cls_score"):
        file.arrays[key].flat[0] += 1e-3
    missed = folders.missed(model.compare(file, geometry(file), "float32"))
    assert set(missed) == {
        "eval/mid_block1_attn",
        "eval/feat_l2_allinf",
        "train/cls_score",
    }
    assert file.unread() == []
