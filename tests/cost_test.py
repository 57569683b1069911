"""The cost command: what it counts and measures, and what it refuses."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax import build, cost
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.state import Snapshot
from tests import runs


def words(*more: str, **changes: Any) -> list[str]:
    """Write the command line for the tiny run's model."""
    made = runs.words(runs.ROOT, {}, **changes)
    place = made.index("--workdir")
    return [*made[:place], *made[place + 2 :], *more]


def test_on_paper_nothing_is_compiled(tmp_path, capsys, monkeypatch):
    monkeypatch.delattr(cost, "compiled")
    file = tmp_path / "cost.json"
    assert cost.main(words("--no-timing", "--json", str(file))) == 0
    told = capsys.readouterr().out
    assert "specific prompts" in told and "in later ones" in told
    content = json.loads(file.read_text())
    config = runs.configuration({})
    made = build.shapes(config, build.learner(config, 395, 395))
    total = sum(part["parameters"] for part in content["parts"])
    assert total == sum(leaf.size for leaf in runs.leaves(made["params"]))
    assert "batches" not in content


@pytest.mark.parametrize(
    ("changes", "passes"),
    [({}, 3), ({"model__remat": "true"}, 4), ({"train__micro_batches": 2}, 4)],
)
def test_recomputing_is_one_more_pass(changes, passes):
    config = runs.configuration({}, **changes)
    found = cost.on_paper(config, 5)
    forward = sum(part["flops"] for part in found["parts"])
    assert list(found["step_flops"].values()) == [
        16 * passes * forward,
        16 * (passes + 1) * forward,
    ]


@pytest.mark.parametrize("preset", ["ckda", "joint"])
def test_shipped_configs_are_counted(preset, capsys):
    files = ("configs/lifelong.py", "configs/synthetic.py")
    for file in files:
        source = f"{runs.ROOT / file}:{preset}"
        assert cost.main(["--config", source, "--no-timing"]) == 0
    assert "85,809,408" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_measured_is_told_and_written(tmp_path, capsys):
    file = tmp_path / "cost.json"
    changes = {"modalities": "visible,infrared,depth"}
    options = ("--batches", "2", "--repeats", "6", "--modality", "depth")
    assert cost.main(words(*options, "--json", str(file), **changes)) == 0
    told = capsys.readouterr().out
    assert "Embedding depth images" in told and "What prompting adds" in told
    content = json.loads(file.read_text())
    (row,) = content["batches"]
    assert row["batch"] == 2 and content["repeats"] == 6
    for side in ("prompted", "bare", "prompts"):
        found = row[side]
        assert len(found["seconds"]) == 6
        assert found["p50_seconds"] == pytest.approx(np.median(found["seconds"]))
        assert found["images_per_second"] * found["p50_seconds"] == pytest.approx(2)
    # Its weights alone are more than this.
    assert row["prompted"]["memory_bytes"] > row["bare"]["memory_bytes"] > 10_000
    for side in ("prompted", "prompts"):
        ratios = np.divide(row[side]["seconds"], row["bare"]["seconds"])
        assert row[side]["to_bare"]["median"] == pytest.approx(np.median(ratios))
    assert content["peak_bytes"]["process"] > 2**24


def test_what_is_timed_is_what_evaluation_runs():
    config = runs.configuration({})
    learns = build.learner(config, 5, 5)
    variables = build.variables(config, learns)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 16, 3), np.uint8)
    evaluator = build.evaluator(config, learns, Cluster.of_all_devices())
    snapshot = Snapshot(variables=variables, memory=None, stage=jnp.int32(0))
    wanted = evaluator.embedder.batch_of(snapshot, images, 1)
    inputs = variables, None, images
    found = cost.compiled(cost.embedding(learns, 1), inputs)
    np.testing.assert_allclose(found.call(*inputs), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--batches", "1,x", "--batches 1,x: give numbers from 1 to 65536"),
        ("--batches", "0", "--batches 0: give numbers from 1"),
        ("--batches", "1,100000000000", "--batches 1,100000000000: give numbers"),
        ("--json", "/", "--json /: cannot be written (it is a directory); give a file"),
        ("--json", "/dev/null/x", "--json /dev/null/x: cannot be written ("),
        ("--repeats", "5", "--repeats 5: must be at least 6"),
        ("--identities", "0", "--identities 0: must be from 1 to 100000000"),
        ("--modality", "thermal", "the config has visible, infrared"),
        ("--config.model.depth", "0", "config.model.depth=0: must be at least 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(option, value, said, capsys):
    assert cost.main(words(option, value)) == 2
    assert said in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as done:
        cost.main(["--help"])
    assert done.value.code == 0
    told = capsys.readouterr().out
    assert "ratios of the pairs" in told and "--no-timing" in told
    assert "model.stem=patch" in told
