"""The run directory: what may go on in it, and what is left after a refusal."""

import dataclasses
import json
import os
import shutil
from threading import Thread

import numpy as np
import pytest

from ckda_jax import files, workdir
from ckda_jax.build import data
from ckda_jax.engine import origin, results
from ckda_jax.engine.origin import Lineage
from ckda_jax.structs import InputError
from tests import runs


@pytest.fixture
def config(world):
    """The tiny run's configuration."""
    return runs.configuration(world)


def test_a_claimed_directory_is_found_again(tmp_path, config):
    lineage = Lineage(
        init_from="/runs/a", first_index=2, learned=("x", "y"), identities=9
    )
    workdir.claim(tmp_path, config, lineage)
    assert workdir.read_lineage(tmp_path) == lineage
    workdir.check(tmp_path, config, lineage)


def test_what_a_killed_run_was_writing_is_taken_away(tmp_path, config):
    (tmp_path / "examples").mkdir()
    for name in (".results.json.7.tmp", "examples/.a.json.7.tmp", "examples/a.json"):
        (tmp_path / name).touch()
    workdir.claim(tmp_path, config, Lineage())
    there = runs.listing(tmp_path)
    assert there == ["config.json", "examples", "examples/a.json", "lineage.json"]


def test_what_eval_is_writing_is_not_taken_away(tmp_path, config, monkeypatch):
    path, replace = tmp_path / "results.json", os.replace
    start = {
        "method": "m",
        "preset": "p",
        "seed": 0,
        "stages": [["a"]],
        "datasets": ["a"],
    }
    files.write_json(path, results.empty(**start))
    claims = []

    def replace_late(draft, final):
        # A run starts between the writing of a file and its renaming.
        if final == path and not claims:
            claims.append(
                Thread(target=workdir.claim, args=(tmp_path, config, Lineage()))
            )
            claims[0].start()
            claims[0].join(0.3)
        replace(draft, final)

    monkeypatch.setattr(os, "replace", replace_late)
    row = {"stage": 0, "epoch": None, "dataset": "a", "protocol": "p", "seen": True}
    row |= dict.fromkeys(("mAP", "rank1", "mINP"), 0.5)
    results.record(path, [row])
    claims[0].join()
    assert results.read(path)["protocols"] == [row]
    assert (tmp_path / "config.json").exists()


@pytest.mark.parametrize("left", ["results.json", "checkpoints"])
def test_what_a_run_without_config_left_is_not_adopted(
    finished, tmp_path, config, left
):
    run = shutil.copytree(finished, tmp_path / "run")
    for path in run.iterdir():
        if path.name != left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = runs.listing(run)
    said = f"{run} holds {left} of a run, but no config.json; restore that file"
    with pytest.raises(InputError, match=said):
        workdir.check(run, config, Lineage())
    assert runs.listing(run) == before


def test_folders_without_checkpoints_are_no_run(tmp_path, config):
    (tmp_path / "checkpoints" / "steps").mkdir(parents=True)
    workdir.check(tmp_path, config, Lineage())


def test_another_process_refuses_what_the_main_one_refuses(
    tmp_path, config, monkeypatch
):
    """Its own view of the directory does not count."""

    def hear(question):
        raise InputError("the main process says no")

    monkeypatch.setattr(workdir.consensus, "of_main", hear)
    with pytest.raises(InputError, match="says no"):
        workdir.check(tmp_path, config, Lineage())
    with pytest.raises(InputError, match="says no"):
        workdir.check_data(tmp_path, {})


@pytest.fixture
def drawn(config, world):
    """The tiny run's stages and datasets."""
    loaded = data.datasets(config, {name: str(root) for name, root in world.items()})
    return data.stages(config, loaded), tuple(loaded.values())


def test_data_are_found_again_under_another_root(tmp_path, config, drawn, world):
    described = workdir.describe(*drawn)
    assert list(described) == [
        *("stage 1, regdb", "stage 2, sysu"),
        *("regdb lifelong query", "regdb lifelong gallery"),
        *("sysu lifelong query", "sysu lifelong gallery"),
    ]
    assert described["stage 1, regdb"]["identities"] == 6
    assert described["stage 1, regdb"]["images"] == len(drawn[1][0].train)
    moved = shutil.copytree(world["regdb"], tmp_path / "moved")
    again = data.datasets(config, {"regdb": str(moved), "sysu": str(world["sysu"])})
    assert workdir.describe(data.stages(config, again), tuple(again.values())) == (
        described
    )
    workdir.check_data(tmp_path, described)
    workdir.claim(tmp_path, config, Lineage(), described)
    workdir.check_data(tmp_path, described)


def test_other_data_are_refused_with_the_difference(tmp_path, config, drawn):
    described = workdir.describe(*drawn)
    workdir.claim(tmp_path, config, Lineage(), described)
    stages, (regdb, sysu) = drawn
    kept = regdb.train.identity != regdb.train.identity[0]
    fewer = dataclasses.replace(regdb, train=regdb.train.take(kept))
    turned = np.roll(sysu.train.identity, 1)
    relabelled = dataclasses.replace(sysu.train, identity=turned)
    swapped = dataclasses.replace(sysu, train=relabelled)
    stages = [
        dataclasses.replace(stage, datasets=(dataset,))
        for stage, dataset in zip(stages, (fewer, swapped), strict=True)
    ]
    with pytest.raises(InputError, match="holds a run on other data") as caught:
        workdir.check_data(tmp_path, workdir.describe(stages, (regdb, sysu)))
    _, first, second = str(caught.value).splitlines()
    numbers = [described["stage 1, regdb"]["images"], len(fewer.train)]
    assert first == (
        f"  stage 1, regdb: 6 identities, {numbers[0]} images -> "
        f"5 identities, {numbers[1]} images"
    )
    assert second.startswith("  stage 2, sysu: as many as before (6 identities, ")


def test_damaged_data_are_refused(tmp_path, config):
    workdir.claim(tmp_path, config, Lineage())
    (tmp_path / workdir.DATA).write_text("{")
    with pytest.raises(InputError, match="data.json: cannot be read"):
        workdir.check_data(tmp_path, {})


@pytest.mark.parametrize("text", ["{", "{}", "[" * 100_000])
def test_a_damaged_list_of_changes_is_refused(tmp_path, text):
    path = tmp_path / workdir.DATA_CHANGES
    path.write_text(text)
    with pytest.raises(InputError, match="data_changes.json: cannot be read"):
        workdir.record_changes(tmp_path, ["regdb: changed"])
    assert path.read_text() == text


def test_a_directory_without_lineage_is_of_a_run_of_its_own(tmp_path):
    assert workdir.read_lineage(tmp_path) == Lineage()


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"learned": 3}', '{"learned": [], "x": 1}']
)
def test_a_damaged_lineage_is_refused(tmp_path, text):
    (tmp_path / workdir.LINEAGE).write_text(text)
    with pytest.raises(InputError, match="lineage.json: cannot be read"):
        workdir.read_lineage(tmp_path)


def cut_results(folder, rows):
    """Leave the first evaluations of a run alone, and name a dataset it had before."""
    content = runs.results(folder)
    content["evaluations"] = content["evaluations"][:rows]
    content["datasets"].append("llcm")
    (folder / "results.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("rows", "missing"), [(9, "sysu"), (8, "regdb, sysu"), (6, "regdb, sysu")]
)
def test_a_run_whose_last_evaluation_is_unfinished_is_not_extended(
    finished, tmp_path, rows, missing
):
    run = shutil.copytree(finished, tmp_path / "run")
    cut_results(run, rows)
    said = f"stage 2, its last one, is not evaluated on {missing}; run its train comm"
    with pytest.raises(InputError, match=said):
        workdir.read_origin(run)


def test_a_run_that_evaluated_all_of_its_own_is_extended(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    cut_results(run, 10)
    assert workdir.read_origin(run).lineage == origin.read(run).lineage


def test_another_config_is_refused_with_the_difference(tmp_path, config):
    workdir.claim(tmp_path, config, Lineage())
    config.train.epochs = 3
    config.train.log_every = config.train.gradients_every = 5
    with pytest.raises(InputError, match="another configuration") as caught:
        workdir.check(tmp_path, config, Lineage())
    assert "\n  train.epochs: 2 -> 3" in str(caught.value)
    assert "_every" not in str(caught.value)


def test_another_origin_is_refused_with_the_difference(tmp_path, config):
    workdir.claim(tmp_path, config, Lineage(init_from="/a", first_index=1))
    with pytest.raises(InputError, match="--init-from: /a -> none"):
        workdir.check(tmp_path, config, Lineage())
    with pytest.raises(InputError, match="first_index of /a: 1 -> 2"):
        workdir.check(tmp_path, config, Lineage(init_from="/a", first_index=2))


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("file", "file"),
        ("file/run", "file"),
        ("run", "run/checkpoints"),
        ("run", "run/tensorboard"),
        ("run", "run/examples"),
    ],
)
def test_a_file_in_the_way_is_refused(tmp_path, config, place, file):
    (tmp_path / "run").mkdir()
    (tmp_path / file).touch()
    said = f"{tmp_path / file} is a file; give another directory"
    with pytest.raises(InputError, match=said):
        workdir.check(tmp_path / place, config, Lineage())


def test_a_link_to_nothing_is_refused(tmp_path, config):
    (tmp_path / "run").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"/run is a link to nothing; make what it"):
        workdir.check(tmp_path / "run", config, Lineage())


def test_a_directory_that_cannot_be_written_is_refused(tmp_path, config, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(workdir.tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"cannot be written \(.*: Permission"):
        workdir.check(tmp_path / "run", config, Lineage())
    assert runs.listing(tmp_path) == []


def test_check_writes_nothing(tmp_path, config):
    workdir.check(tmp_path / "a" / "run", config, Lineage())
    assert runs.listing(tmp_path) == []


def test_a_refusal_takes_away_what_was_written(tmp_path):
    folder = tmp_path / "a" / "run"
    with (
        pytest.raises(InputError, match="no"),
        workdir.held(folder),
        workdir.untouched_if_refused(folder),
    ):
        (folder / "world" / "site").mkdir(parents=True)
        (folder / "world" / "site" / "image").touch()
        raise InputError("no")
    assert runs.listing(tmp_path) == []


def test_a_refusal_leaves_what_was_there(tmp_path):
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "image").touch()
    with pytest.raises(InputError, match="no"), workdir.untouched_if_refused(tmp_path):
        (tmp_path / "more").mkdir()
        raise InputError("no")
    assert runs.listing(tmp_path) == ["world", "world/image"]


def test_without_a_refusal_all_stays(tmp_path):
    with workdir.untouched_if_refused(tmp_path / "run"):
        (tmp_path / "run").mkdir()
    assert runs.listing(tmp_path) == ["run"]


def test_a_directory_is_held_by_one_run(tmp_path):
    folder = tmp_path / "a" / "run"
    with workdir.held(folder):
        with (
            pytest.raises(InputError, match="--workdir .*/a/run: locked by pid"),
            workdir.held(folder),
        ):
            pass
        assert runs.listing(folder) == [workdir.LOCK]
    assert runs.listing(tmp_path) == []
    with workdir.held(folder):
        (folder / "config.json").touch()
    assert runs.listing(folder) == ["config.json"]
