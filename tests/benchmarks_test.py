"""The benchmark of the step, where no PyTorch is: that it runs, and what it counts."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ckda_jax.models import flops

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_step_is_timed_without_pytorch_and_without_the_packages_of_a_run(tmp_path):
    # Found before the installed ones, these fail where a GPU machine lacks them.
    for name in ("ml_collections", "grain", "tensorboardX", "beartype"):
        text = f"raise ImportError({name!r})\n"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    out = tmp_path / "step.json"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "benchmarks/step.py", "--model", "tiny", "--ours-only"]
    result = subprocess.run(
        [*command, "--rounds", "2", "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["images"] == 8
    losses = found["losses"]["ckda_jax"]
    assert losses[2] < losses[1] < losses[0]
    assert len(found["ckda_jax"]["seconds"]) == 2


def test_flops_of_vit_b_are_those_counted_by_hand(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import ours
    from sizes import SIZES

    size = SIZES["vit-b"]
    assert size.tokens == 211
    # One block is 3.124 GFLOP and the patch embedding 0.248, prompts 9.454 MFLOP.
    by_hand = 12 * 3.124e9 + 0.248e9 + 9.454e6
    assert size.forward_flops() == pytest.approx(by_hand, rel=1e-3)
    assert size.step_flops() == pytest.approx(64 * 4 * by_hand, rel=1e-3)
    model: Any = ours.learner(size, "float32").model
    assert size.forward_flops() == sum(flops.flops(model).values())
