from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax import build
from ckda_jax.config import load
from ckda_jax.parity import losses, method
from ckda_jax.parity.method import Weights
from tests.parity import folders

COMMON = Path(__file__).parents[2] / "configs" / "common.py"


@pytest.fixture(scope="module")
def case():
    return losses.read(folders.read("losses.npz"), "shuffled", "float32")


def view(case, *, later: bool):
    student = method.outputs(case.features, case.logits, case.prompt)
    teacher = method.outputs(case.teacher_features, case.logits, case.teacher_prompt)
    known = case.known if later else None
    return method.view(student, teacher if later else None, case.labels, known)


@pytest.mark.parametrize(
    ("later", "name"), [(False, "total_first_stage"), (True, "total")]
)
def test_the_reference_preset_computes_the_recorded_total(case, later, name):
    ours = build.method(load(f"{COMMON}:reference"), capacity=7)
    expected = folders.read("losses.npz").expected(f"shuffled/{name}")
    value = ours.loss(view(case, later=later))[0]
    assert float(value) == pytest.approx(expected.item(), rel=1e-5)


def test_the_default_preset_computes_something_else(case):
    ours = build.method(load(str(COMMON)), capacity=7)
    expected = folders.read("losses.npz").expected("shuffled/total").item()
    assert abs(float(ours.loss(view(case, later=True))[0]) - expected) > 1e-3


def test_weights_scale_the_terms(case):
    plain = method.method(Weights(), 7).loss(view(case, later=True))[1]
    heavy = method.method(
        Weights(new_weight=2.0, cross_weight=0.75, proto_weight=3.0), 7
    )
    found = heavy.loss(view(case, later=True))[1]
    ratios = {"centres": 1.0, "cross": 3.0, "alignment": 3.0, "identity": 1.0}
    for part, ratio in ratios.items():
        np.testing.assert_allclose(
            found[f"loss/{part}"], ratio * plain[f"loss/{part}"], rtol=1e-5
        )


def test_weights_of_recorded_values():
    weights = Weights.of({"margin": np.array(0.3)})
    assert (weights.margin, weights.ema_weight) == (0.3, 0.7)


def test_stage_and_batch():
    info = method.stage(1, 7, 5, 12)
    assert np.flatnonzero(info.rows()).tolist() == [7, 8, 9, 10, 11]
    made = method.batch(jnp.zeros((2, 3, 4, 4, 3)), jnp.zeros((2, 3), jnp.int32))
    assert made.present.tolist() == [True, True]
