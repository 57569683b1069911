"""Faults 7 to 10: checkpoints that were damaged, and folders that are none."""

import json
import shutil

import pytest

from ckda_jax import train
from ckda_jax.build import run as build_run
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.shelf import END, Position
from ckda_jax.structs import InputError
from tests import runs

NEWEST, OLDER = Position(1, 3), Position(1, 2)
"""Positions of the `inside` run's newest checkpoints."""


def flip(path):
    """Flip the lowest bit of the middle byte."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    """Cut the second half off."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(path):
    """Remove the file."""
    path.unlink()


def newest(run):
    """Name the folder of the newest checkpoint."""
    return run / "checkpoints" / "steps" / "10000003"


def files(folder):
    """List the files of a checkpoint which are not empty."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if path.stat().st_size]


def kept(run):
    """List the files of all checkpoints."""
    return files(run / "checkpoints")


def resume(folder, world, monkeypatch, *more):
    """Run a tiny run's command again in this process; return the status."""
    monkeypatch.setattr(build_run, "compiled_step", runs.compile_quickly)
    return train.main([*runs.words(folder, world), *more])


@pytest.mark.parametrize("injure", [flip, truncate, remove])
def test_7_8_no_file_can_be_damaged_unnoticed(inside, tmp_path, injure):
    names = [path.relative_to(newest(inside)) for path in files(newest(inside))]
    assert len(names) > 10
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        shutil.copytree(inside / "checkpoints", folder)
        injure(folder / "steps" / "10000003" / name)
        checkpoints = Checkpoints(folder)
        with pytest.raises(InputError, match=f"--strict.* from {OLDER}"):
            checkpoints.recover(0, strict=True)
        assert checkpoints.latest_position() == NEWEST
        said = []
        assert checkpoints.recover(0, warn=said.append) == [0]
        assert checkpoints.latest_position() == OLDER
        checkpoints.close()
        (line,) = said
        where = folder / "steps" / "10000003"
        # What the manifest itself became may read like another file's damage.
        told = where if name.stem == "manifest" else where / name
        assert line.startswith(str(told))
        assert "GOING ON FROM STEP 2 OF STAGE 2 INSTEAD" in line
        assert "\n" not in line


def test_7_a_run_whose_newest_checkpoint_is_damaged_ends_as_an_unbroken_one(
    inside, finished, world, monkeypatch, capsys
):
    flip(files(newest(inside) / "state")[-1])
    before = kept(inside)
    assert resume(inside, world, monkeypatch, "--strict") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {newest(inside)}/state/") and said.count("\n") == 1
    assert kept(inside) == before

    assert resume(inside, world, monkeypatch) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"warning: {newest(inside)}/state/" in out.replace("\n", "")
    assert "resumed sysu at step 2 of 4" in out
    runs.assert_same_run(inside, finished, stages=2)
    assert newest(inside).exists()
    aside = inside / "checkpoints" / "damaged" / "steps-10000003"
    assert aside.is_dir()


def test_8_an_end_of_a_stage_that_later_ones_need_is_asked_for(
    inside, world, monkeypatch, capsys
):
    end = inside / "checkpoints" / "stages" / "0"
    truncate(files(end / "left")[0])
    before = kept(inside)
    assert resume(inside, world, monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {end}/left/")
    assert "cannot go on without the end of stage 1: restore that file" in said
    assert said.count("\n") == 1
    assert kept(inside) == before


def test_8_a_damaged_end_of_the_last_stage_is_made_again(
    finished, world, tmp_path, monkeypatch, capsys
):
    folder = shutil.copytree(finished, tmp_path / "run")
    flip(files(folder / "checkpoints" / "stages" / "1" / "left")[0])
    content = runs.results(folder)
    for row in content["evaluations"]:
        if row["stage"] == 1 and row["epoch"] is None:
            row["mAP"] = 0.99  # of the model that is lost
    (folder / "results.json").write_text(json.dumps(content))
    assert resume(folder, world, monkeypatch) == 0
    assert "GOING ON FROM STEP 3 OF STAGE 2" in capsys.readouterr().out
    runs.assert_same_run(folder, finished, stages=2)


def test_8_a_damaged_end_that_nothing_needs_any_more_harms_nobody(
    finished, world, tmp_path, monkeypatch
):
    folder = shutil.copytree(finished, tmp_path / "run")
    flip(files(folder / "checkpoints" / "stages" / "0" / "left")[0])
    assert resume(folder, world, monkeypatch, "--strict") == 0


def test_9_junk_is_never_taken_for_a_checkpoint(
    inside, finished, world, monkeypatch, capsys
):
    steps = inside / "checkpoints" / "steps"
    for name in ("99999999", "99999998/junk", "abc", "-1"):
        (steps / name).mkdir(parents=True)
    (steps / ".DS_Store").write_bytes(b"x")
    (inside / "checkpoints" / "stages" / "7").mkdir()
    assert resume(inside, world, monkeypatch, "--strict") == 0
    out = capsys.readouterr().out
    assert "resumed sysu at step 3 of 4" in out
    assert out.count("holds no checkpoint; it does not count") == 3
    runs.assert_same_run(inside, finished, stages=2)
    assert (steps / "99999998" / "junk").is_dir()


def test_10_where_all_are_damaged_a_run_never_begins_anew(
    inside, world, monkeypatch, capsys
):
    checkpoints = Checkpoints(inside / "checkpoints", writes=False)
    places = checkpoints.positions()
    checkpoints.close()
    assert Position(0, END) in places and len(places) >= 3
    for manifest in inside.glob("checkpoints/*/*/manifest.json"):
        flip(files(manifest.parent)[0])
    before = kept(inside)
    assert resume(inside, world, monkeypatch) == 2
    error, *reasons = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {inside}: all checkpoints are damaged")
    assert len(reasons) == len(places)
    assert all("/checkpoints/" in reason for reason in reasons)
    assert kept(inside) == before
