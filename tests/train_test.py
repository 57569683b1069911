"""Training: what a run leaves behind, and what happens when it is run again."""

import datetime
import json
import logging
import runpy
import shutil
from typing import Any

import jax
import numpy as np
import pytest

from ckda_jax import train
from ckda_jax.build import run as build_run
from tests import runs

KINDS = {"stage", "step", "epoch", "loss", "grad_norm", "lr"}


def test_a_run_leaves_its_files_behind(finished):
    there = {path.name for path in finished.iterdir()}
    assert there == {
        *("config.json", "data.json", "lineage.json"),
        *("metrics.jsonl", "results.json", "report.html"),
        *("tensorboard", "checkpoints", "examples"),
    }
    assert [row["step"] for row in runs.metrics(finished)] == [1, 2, 3, 4] * 2
    assert runs.metrics(finished)[0].keys() >= KINDS
    examples = {path.name for path in (finished / "examples").iterdir()}
    assert examples == {"regdb.json", "regdb.npz", "sysu.json", "sysu.npz"}


def test_a_run_evaluates_at_the_start_at_epochs_and_after_each_stage(finished):
    rows = runs.results(finished)["evaluations"]
    found = [(r["stage"], r["epoch"], r["dataset"], r["seen"]) for r in rows]
    assert found == [
        (-1, None, "regdb", False),
        (-1, None, "sysu", False),
        (0, 1, "regdb", True),
        (0, 1, "sysu", False),
        (0, None, "regdb", True),
        (0, None, "sysu", False),
        (1, 1, "regdb", True),
        (1, 1, "sysu", True),
        (1, None, "regdb", True),
        (1, None, "sysu", True),
    ]


def test_alignment_acts_in_later_stages_only(finished):
    parts = [row["loss/alignment"] for row in runs.metrics(finished)]
    assert parts[:4] == [0, 0, 0, 0]
    assert all(part > 0 for part in parts[5:])


def test_a_finished_run_is_only_reported_again(finished, world, capsys):
    before = {path: path.read_bytes() for path in finished.glob("*.json*")}
    assert train.main(runs.words(finished, world)) == 0
    assert {path: path.read_bytes() for path in finished.glob("*.json*")} == before
    told = capsys.readouterr().out
    assert "step" not in told and "report:" in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optim__lr": 0.02}, "optim.lr: 0.001 -> 0.02"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"preset": "finetune"}, "method: ckda -> finetune"),
    ],
)
def test_a_changed_config_is_refused_with_the_difference(
    finished, world, capsys, changes, said
):
    before = runs.listing(finished)
    assert train.main(runs.words(finished, world, **changes)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {finished} holds a run of another configuration")
    assert said in error
    assert runs.listing(finished) == before


@pytest.mark.parametrize("more", [("--check",), ()], ids=["check", "train"])
def test_changed_data_are_refused_and_the_run_is_left_alone(
    finished, world, tmp_path, capsys, more
):
    before = {path: path.read_bytes() for path in finished.glob("*.json*")}
    root = shutil.copytree(world["regdb"], tmp_path / "RegDB")
    for name in ("visible", "thermal"):
        file = root / "idx" / f"train_{name}_1.txt"
        lines = file.read_text().splitlines()
        file.write_text("\n".join(line for line in lines if not line.endswith(" 5")))
    words = runs.words(finished, {**world, "regdb": root})
    assert train.main([*words, *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {finished} holds a run on other data; ")
    assert "\n  stage 1, regdb: 6 identities, 120 images -> 5 identities, 1" in error
    assert {path: path.read_bytes() for path in finished.glob("*.json*")} == before


@pytest.mark.slow
def test_a_run_may_go_on_with_changed_data_if_it_writes_that_down(
    finished, world, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(build_run, "compiled_step", runs.compile_quickly)
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "checkpoints/stages/1")
    root = shutil.copytree(world["sysu"], tmp_path / "SYSU-MM01")
    first = (root / "exp" / "train_id.txt").read_text().split(",")[0]
    next((root / "cam3" / f"{int(first):04d}").iterdir()).unlink()
    words = runs.words(folder, {**world, "sysu": root})
    assert train.main(words) == 2
    assert "or train with --allow-data-change" in capsys.readouterr().err
    assert train.main([*words, "--allow-data-change"]) == 0
    assert "resumed sysu at step 3 of 4" in capsys.readouterr().out
    (change,) = json.loads((folder / "data_changes.json").read_text())
    (line,) = change["changes"]
    assert line.startswith("stage 2, sysu: 6 identities, ")
    assert datetime.datetime.fromisoformat(change["at"]).tzinfo is not None
    assert train.main(words) == 0
    assert train.main([*words, "--allow-data-change"]) == 0
    assert len(json.loads((folder / "data_changes.json").read_text())) == 1


def test_keys_without_influence_may_change(finished, world):
    changes: dict[str, Any] = {"data__threads": 2, "train__log_every": 7}
    assert train.main(runs.words(finished, world, **changes)) == 0


def test_check_tells_what_would_happen_and_writes_and_compiles_nothing(
    world, tmp_path, capsys, caplog
):
    before = runs.listing(tmp_path)
    with jax.log_compiles(True), caplog.at_level(logging.WARNING, "jax"):
        status = train.main([*runs.words(tmp_path / "run", world), "--check"])
    assert status == 0
    assert runs.listing(tmp_path) == before
    compiled = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
    assert not [line for line in compiled if "(init)" in line or "(step)" in line]
    told = capsys.readouterr().out
    assert "stage 1  regdb: 6 identities, 60 visible, 60 infrared images" in told
    assert "2 epochs x 2 steps" in told
    assert "evaluated  sysu lifelong: " in told
    assert "parameters  pretrained: " in told
    assert "memory  at least " in told
    assert f"would write  {tmp_path}/run/" in told


def test_check_of_a_synthetic_config_draws_its_world_elsewhere(tmp_path, capsys):
    words = runs.words(tmp_path / "run", {}, data__synthetic__enabled=True)
    sizes = ("identities=4", "test_identities=2", "images=2")
    words += [f"--config.data.synthetic.{size}" for size in sizes]
    assert train.main([*words, "--check"]) == 0
    assert runs.listing(tmp_path) == []
    assert f"would draw  {tmp_path}/run/world" in capsys.readouterr().out


def test_a_joint_run_has_one_stage(world, tmp_path, capsys):
    words = runs.words(tmp_path / "run", world, preset="joint")
    assert train.main([*words, "--check"]) == 0
    told = capsys.readouterr().out
    assert "stage 1  regdb+sysu: 12 identities" in told
    assert "stage 2" not in told


@pytest.fixture(scope="module")
def extended(tmp_path_factory, world, finished):
    """Extend the finished run by two stages, the earlier ones evaluated only."""
    return runs.take(
        tmp_path_factory.mktemp("extended") / "run",
        world,
        *("--init-from", str(finished)),
        stages="llcm,vcm",
        eval_only="regdb,sysu",
    )


@pytest.mark.slow
def test_an_extended_run_goes_on_with_the_earlier_results(finished, extended):
    old, new = runs.results(finished), runs.results(extended)
    assert new["stages"] == [["regdb"], ["sysu"], ["llcm"], ["vcm"]]
    assert new["datasets"] == ["regdb", "sysu", "llcm", "vcm"]
    assert new["evaluations"][: len(old["evaluations"])] == old["evaluations"]
    added = new["evaluations"][len(old["evaluations"]) :]
    assert {row["stage"] for row in added} == {2, 3}
    seen = {row["dataset"]: row["seen"] for row in added if row["stage"] == 2}
    assert seen == {"regdb": True, "sysu": True, "llcm": True, "vcm": False}
    lineage = json.loads((extended / "lineage.json").read_text())
    assert lineage["learned"] == ["regdb", "sysu"]
    assert len(new["summary"]["mAP"]["seen_average"]) == 4


@pytest.mark.slow
def test_an_extended_run_equals_an_unbroken_one(extended, world, tmp_path):
    whole = runs.take(tmp_path / "whole", world, stages="regdb,sysu,llcm,vcm")
    left, right = runs.metrics(extended), runs.metrics(whole)[8:]
    assert [row["stage"] for row in left] == [2] * 4 + [3] * 4
    # The classifiers differ in size, so the last bits do, and Adam makes much of them.
    for row, other in zip(left, right, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=2e-3)
        alignment = pytest.approx(other["loss/alignment"], rel=0.05, abs=1e-3)
        assert row["loss/alignment"] == alignment
    assert left[0]["loss"] == pytest.approx(right[0]["loss"], rel=1e-4)
    found = runs.scores(runs.results(extended)["evaluations"])
    wanted = runs.scores(runs.results(whole)["evaluations"])
    assert found.keys() == {place for place in wanted if place in found}
    assert {place for place in found if place[0] > 1}
    for place in found:
        assert found[place][:2] == pytest.approx(wanted[place][:2], abs=0.03), place


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model__width": 16}, "use that run's config.model and config.prompts"),
        ({"preset": "finetune"}, "use that run's model and method"),
    ],
)
def test_extending_a_run_that_does_not_fit_is_refused(
    finished, world, tmp_path, capsys, changes, said
):
    words = runs.words(tmp_path / "run", world, stages="llcm", **changes)
    assert train.main([*words, "--init-from", str(finished), "--check"]) == 2
    assert said in capsys.readouterr().err
    assert runs.listing(tmp_path) == []


def test_extending_a_run_that_is_still_evaluating_is_refused(
    finished, world, tmp_path, capsys
):
    before = shutil.copytree(finished, tmp_path / "before")
    content = runs.results(before)
    content["evaluations"].pop()
    (before / "results.json").write_text(json.dumps(content))
    words = runs.words(tmp_path / "run", world, stages="llcm")
    assert train.main([*words, "--init-from", str(before)]) == 2
    error = capsys.readouterr().err
    assert "not evaluated on sysu; run its train command again" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert train.main(runs.words(before, world)) == 0
    assert train.main([*words, "--init-from", str(before), "--check"]) == 0


def test_a_run_of_other_modalities_is_not_extended(finished, world, tmp_path, capsys):
    three: dict[str, Any] = {"modalities": "visible,infrared,thermal"}
    words = runs.words(tmp_path / "run", world, stages="llcm", **three)
    assert train.main([*words, "--init-from", str(finished), "--check"]) == 2
    error = capsys.readouterr().err
    assert "config.modalities=visible,infrared,thermal, but the model of" in error
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Take a run of three modalities over a folder and a table of one's own to its end.

    The second stage has no infrared.
    """
    folder = tmp_path_factory.mktemp("own")
    example = runpy.run_path(str(runs.ROOT / "examples" / "three_modalities.py"))
    size = example["Size"](train=4, test=2, images=4, height=32)
    example["write_gate"](folder / "gate", size)
    example["write_yard"](folder, size)
    return runs.take(
        folder / "run",
        {},
        modalities="visible,infrared,thermal",
        data__own=f"gate={folder}/gate,yard={folder}/yard.csv",
        stages="gate,yard",
        eval_every=0,
        eval__before=False,
        eval__protocols="all",
        train__epochs=1,
    )


@pytest.mark.slow
def test_own_datasets_in_three_modalities_are_learned_and_evaluated(own):
    content = runs.results(own)
    assert content["stages"] == [["gate"], ["yard"]]
    names = {
        (row["dataset"], row["protocol"])
        for row in content["evaluations"]
        if row["stage"] == 1
    }
    assert len([name for dataset, name in names if dataset == "gate"]) == 7
    assert {name for dataset, name in names if dataset == "yard"} == {
        *("lifelong", "visible-to-thermal", "thermal-to-visible"),
    }
    rows = runs.metrics(own)
    assert [row["stage"] for row in rows] == [0, 0, 1, 1]
    assert rows[3]["loss/alignment"] > 0


@pytest.mark.slow
def test_what_a_stage_lacks_is_not_trained_and_has_no_prototypes(own):
    first, last = (runs.checkpoint(own, stage) for stage in (0, 1))
    (mask,) = (last[name] for name in last if name.endswith("alignment/mask"))
    assert mask.any(axis=1).tolist() == [True, False, True]
    for name in first:
        if "mod_embed" in name or "params/specific" in name:
            moved = np.abs(last[name] - first[name]).reshape(3, -1).max(axis=1)
            # The merge of two equal values rounds.
            assert moved[1] < 1e-6 < min(moved[0], moved[2]), name


@pytest.mark.slow
def test_a_report_names_own_people_and_all_modalities(own):
    page = (own / "report.html").read_text()
    for modality in ("visible", "infrared", "thermal"):
        assert f"{modality}-specific prompt" in page
    assert "id gate-4, cam v1" in page and "id yard-5, cam " in page
    lists = json.loads((own / "examples" / "gate.json").read_text())
    assert lists["protocol"] == "lifelong"
    first = lists["queries"][0]
    assert (first["query"]["modality"], first["query"]["camera"]) == ("infrared", "n3")
    assert {entry["modality"] for entry in first["gallery"]} == {"visible"}


def test_a_run_cannot_extend_itself(finished, world, capsys):
    words = runs.words(finished, world)
    assert train.main([*words, "--init-from", str(finished)]) == 2
    assert "--init-from: none -> " in capsys.readouterr().err
