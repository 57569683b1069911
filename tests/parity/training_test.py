import pytest

from ckda_jax.engine.optim import Optimiser
from ckda_jax.parity import training
from ckda_jax.parity.method import Weights
from ckda_jax.parity.stages import stages
from tests.parity import folders


@pytest.mark.slow
def test_float64_sees_a_forgotten_weight_decay(x64):
    file = folders.read("train5.npz")
    pair = stages(folders.sizes(), file.state("new0/"), None, "float64")
    forgetful = Optimiser(weight_decay=0.0)
    course = training.train(file, pair, forgetful, Weights(), "float64")
    missed = folders.missed(training.losses(file, "nofold/", course, "float64"))
    assert {"nofold/loss/total", "nofold/loss/tri"} <= {*missed}
    first = course.metrics[0]["loss"].item()
    expected = file.expected("nofold/loss/total")[0].item()
    assert first == pytest.approx(expected, abs=1e-12)


def test_silent_names_what_float32_cannot_compare():
    silent = training.silent(folders.read("train5.npz"))
    assert silent == [
        "base.blocks.0.attn.qkv.bias",
        "base.blocks.1.attn.qkv.bias",
        "base.inf_net.0.bias",
        "base.inf_net.1.running_mean",
        "base.rgb_net.0.bias",
        "base.rgb_net.1.running_mean",
    ]


def test_known_leaves_out_what_is_not_ours():
    assert training.known(["a", "b"], {"b": 1}) == ["b"]
