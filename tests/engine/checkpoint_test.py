"""Checkpoints: whole or not at all, and bit for bit."""

import logging
import shutil
import sys
import time
import warnings
from concurrent import futures

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.state import TrainState
from ckda_jax.structs import InputError, Interrupted
from tests import runs


def state(value=0.0):
    """Make a training state whose numbers follow from one."""
    params = {"a": {"kernel": jnp.linspace(value, value + 1, 12).reshape(3, 4)}}
    return TrainState(
        params=params,
        batch_stats={"mean": jnp.full(3, value)},
        opt_state=(jax.tree.map(jnp.ones_like, params), None),
        step=jnp.int32(7),
        skipped=jnp.int32(2),
        key=jax.random.key(5),
    )


VARIABLES = {"params": {"kernel": jnp.arange(6.0).reshape(2, 3)}}
MEMORY = {"mask": jnp.array([True, False]), "none": None}


def test_a_training_state_comes_back_bit_for_bit(tmp_path):
    saved = state(0.1)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_step(Position(1, 20), saved, {"step": 20, "drawn_from": "x"})
    checkpoints.close()
    again = Checkpoints(tmp_path)
    assert again.latest_position() == Position(1, 20)
    restored, stream = again.restore_step(Position(1, 20), state())
    again.close()
    chex.assert_trees_all_equal(
        restored.replace(key=jax.random.key_data(restored.key)),
        saved.replace(key=jax.random.key_data(saved.key)),
    )
    assert stream == {"step": 20, "drawn_from": "x"}


def test_a_stage_is_chosen_among_the_finished_ones(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    with pytest.raises(InputError, match=f"no stage of {tmp_path}/run is finished"):
        checkpoints.choose(None)
    for stage in (0, 1, 2):
        checkpoints.save_stage(stage, VARIABLES, MEMORY)
    assert [checkpoints.choose(asked) for asked in (None, 1, 3)] == [2, 0, 2]
    with pytest.raises(InputError, match="--stage 0: stages are counted from 1"):
        checkpoints.choose(0)
    with pytest.raises(InputError, match="stage 4 of .*; finished: 1, 2, 3"):
        checkpoints.choose(4)
    checkpoints.close()


def test_only_the_newest_states_are_kept_in_order_of_stage_and_step(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest_position() is None
    for position in (Position(0, 300), Position(1, 5), Position(1, 10)):
        checkpoints.save_step(position, state(), {})
    assert checkpoints.latest_position() == Position(1, 10)
    checkpoints.close()
    assert len([p for p in (tmp_path / "steps").iterdir() if p.name.isdigit()]) == 2


def test_stages_stay_for_good(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    assert checkpoints.stages() == []
    for stage in range(3):
        checkpoints.save_stage(stage, VARIABLES, MEMORY)
    assert checkpoints.stages() == [0, 1, 2]
    zeros = jax.tree.map(jnp.zeros_like, VARIABLES)
    variables, memory = checkpoints.restore_stage(0, variables=zeros, memory=MEMORY)
    checkpoints.close()
    chex.assert_trees_all_equal(variables, VARIABLES)
    chex.assert_trees_all_equal(memory, MEMORY)


def test_a_stage_is_restored_without_knowing_its_shapes(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_stage(0, VARIABLES, MEMORY)
    checkpoints.close()
    reader = Checkpoints(tmp_path, writes=False)
    saved = reader.restore_as_saved(0)
    reader.close()
    assert isinstance(saved["variables"]["params"]["kernel"], np.ndarray)
    chex.assert_trees_all_equal(saved["variables"], VARIABLES)
    np.testing.assert_array_equal(saved["memory"]["mask"], [True, False])


def test_reading_changes_nothing_on_disk(tmp_path):
    reader = Checkpoints(tmp_path / "checkpoints", writes=False)
    assert reader.stages() == [] and reader.latest_position() is None
    reader.close()
    assert runs.listing(tmp_path) == []


def test_what_a_kill_left_unfinished_is_taken_away(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_stage(0, VARIABLES, MEMORY)
    checkpoints.close()
    unfinished = tmp_path / "unfinished" / "stages-1.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "stages" / "0", unfinished)
    reader = Checkpoints(tmp_path, writes=False)
    assert reader.stages() == [0]
    reader.close()
    assert unfinished.exists()
    Checkpoints(tmp_path).close()
    assert not (tmp_path / "unfinished").exists()


def test_a_state_is_saved_as_it_was_when_the_save_returned(tmp_path):
    change = jax.jit(lambda tree: jax.tree.map(lambda x: -x, tree), donate_argnums=0)
    large = {"kernel": jax.random.normal(jax.random.key(0), (1000, 1000))}
    was = jax.tree.map(np.array, large)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_step(Position(0, 1), state().replace(params=large), {})
    for _ in range(3):
        large = change(large)
    restored, _ = checkpoints.restore_step(
        Position(0, 1), state().replace(params=large)
    )
    checkpoints.close()
    chex.assert_trees_all_equal(restored.params, was)


def test_the_best_state_of_a_stage_stays_and_what_is_no_number_is_never_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    for step, score in enumerate((0.5, float("nan"), 0.3), start=1):
        checkpoints.save_step(Position(0, step), state(), {})
        checkpoints.rate(Position(0, step), score)
    checkpoints.save_step(Position(1, 1), state(), {})
    assert checkpoints.positions() == [Position(0, 1), Position(1, 1)]
    checkpoints.close()


def test_a_checkpoint_is_on_the_disk_before_the_one_before_it_goes(
    tmp_path, monkeypatch
):
    """Else a power loss leaves neither: what is renamed or read may be in memory."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    checkpoints.save_step(Position(0, 1), state(), {})
    checkpoints.wait()
    done = runs.record_disk(monkeypatch)
    checkpoints.save_step(Position(0, 2), state(), {"step": 2})
    checkpoints.close()
    root = tmp_path / "checkpoints"
    placed = done.index(("rename", root / "unfinished" / "steps-2"))
    removed = done.index(("rename", root / "steps" / "1"))
    before = {path for what, path in done[:placed] if what == "sync"}
    for path in [root / "steps" / "2", *(root / "steps" / "2").rglob("*")]:
        if path.name != "manifest.json":  # a new file under another name until then
            assert (
                root / "unfinished" / "steps-2" / path.relative_to(root / "steps" / "2")
                in before
            ), path
    assert any(path.name.startswith(".manifest.json.") for path in before)
    between = {path for what, path in done[placed:removed] if what == "sync"}
    assert between == {root / "steps", root, tmp_path}


def test_what_does_not_fit_is_one_line(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_stage(0, VARIABLES, MEMORY)
    checkpoints.save_step(Position(0, 1), state(), {})
    wide = {"params": {"kernel": jnp.zeros((2, 4))}}
    stage = rf"^{tmp_path}/stages/0: cannot be restored \(.*--workdir$"
    with pytest.raises(InputError, match=stage):
        checkpoints.restore_stage(0, variables=wide, memory=MEMORY)
    step = rf"^{tmp_path}/steps/1: cannot be restored \(.*--workdir$"
    with pytest.raises(InputError, match=step):
        checkpoints.restore_step(Position(0, 1), state().replace(batch_stats=wide))
    checkpoints.close()


def test_nothing_damaged_is_read(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for stage in (0, 1, 2):
        checkpoints.save_stage(stage, VARIABLES, MEMORY)
    checkpoints.close()
    (tmp_path / "stages" / "0" / "left" / "_METADATA").write_bytes(b"")
    (tmp_path / "stages" / "2" / "manifest.json").unlink()
    reader = Checkpoints(tmp_path, writes=False)
    named = (
        r"^{}/stages/{}; restore that file from a backup "
        r"\(the end of these stages is whole: 2\)$"
    )
    empty = named.format(tmp_path, r"0/left/_METADATA has 0 bytes, not \d+")
    with pytest.raises(InputError, match=empty):
        reader.restore_stage(0, variables=VARIABLES, memory=MEMORY)
    missing = named.format(tmp_path, "2/manifest.json is missing")
    with pytest.raises(InputError, match=missing):
        reader.restore_as_saved(reader.choose(None))
    reader.close()


@pytest.mark.parametrize("kind", ["stage", "step"])
def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path, kind):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_stage(0, VARIABLES, MEMORY)
    checkpoints.save_step(Position(0, 1), state(), {})
    checkpoints.wait()
    large = {"kernel": jax.random.normal(jax.random.key(0), (100, 100))}
    said = rf"^{tmp_path}: cannot be written \(File too large\); make room .* again$"
    with runs.small_files_only(limit=8_000), pytest.raises(OSError, match=said):
        if kind == "stage":
            checkpoints.save_stage(1, large, MEMORY)
        else:
            checkpoints.save_step(Position(0, 2), state().replace(params=large), {})
        checkpoints.wait()
    assert checkpoints.stages() == [0]
    assert checkpoints.latest_position() == Position(0, 1)
    checkpoints.close()
    # What threads of the failed save still wrote goes when the next writer comes.
    checkpoints = Checkpoints(tmp_path)
    assert not (tmp_path / "unfinished").exists()
    variables, _ = checkpoints.restore_stage(0, variables=VARIABLES, memory=MEMORY)
    chex.assert_trees_all_equal(variables, VARIABLES)
    checkpoints.save_stage(1, large, MEMORY)
    assert checkpoints.stages() == [0, 1]
    checkpoints.close()


def failing(folder):
    """Begin a save that cannot end well."""
    checkpoints = Checkpoints(folder)
    large = {"kernel": jax.random.normal(jax.random.key(0), (100, 100))}
    with runs.small_files_only(limit=8_000):
        checkpoints.save_stage(0, large, MEMORY)
        time.sleep(0.5)
    return checkpoints


def test_the_next_save_raises_what_went_wrong_in_the_background(tmp_path):
    checkpoints = failing(tmp_path)
    with pytest.raises(OSError, match="cannot be written"):
        checkpoints.save_step(Position(0, 1), state(), {})
    checkpoints.close()
    assert runs.listing(tmp_path) == []


def test_closing_raises_what_went_wrong_but_hides_no_error_before_it(tmp_path):
    checkpoints = failing(tmp_path)
    with pytest.raises(OSError, match="cannot be written"):
        checkpoints.close()
    checkpoints = failing(tmp_path)
    with pytest.raises(KeyError):
        try:
            raise KeyError
        finally:
            checkpoints.close()


def test_whoever_is_interrupted_while_waiting_still_hears_what_went_wrong(
    tmp_path, monkeypatch, capsys
):
    checkpoints, waits = failing(tmp_path), futures.wait

    def interrupt(these):
        monkeypatch.setattr(futures, "wait", waits)
        raise Interrupted(15, "terminated")

    monkeypatch.setattr(futures, "wait", interrupt)
    with pytest.raises(Interrupted):
        try:
            checkpoints.wait()
        finally:
            checkpoints.close()
    assert "cannot be written (File too large)" in capsys.readouterr().err


def test_a_folder_that_is_gone_is_not_made_again(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(OSError, match=f"{tmp_path}/checkpoints: cannot be written"):
        checkpoints.save_step(Position(0, 1), state(), {})
    checkpoints.close()
    assert runs.listing(tmp_path) == []


def test_a_file_whose_turn_never_came_says_nothing_more(
    tmp_path, capsys, caplog, monkeypatch
):
    caplog.set_level(logging.CRITICAL, "absl")  # as every command does

    async def write_fragment():
        """Stand for Orbax's own, of which a failed save leaves some unawaited."""

    write_fragment.__qualname__ = "async_serialize_from_host.<locals>.write_fragment"
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    checkpoints = Checkpoints(tmp_path)
    left = write_fragment()
    large = {"kernel": jax.random.normal(jax.random.key(0), (100, 100))}
    with pytest.raises(OSError, match="written"), runs.small_files_only(limit=8_000):
        checkpoints.save_stage(0, large, MEMORY)
        checkpoints.wait()
    # As in another test, whose filters are its own.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del left
    checkpoints.close()
    assert not capsys.readouterr().err
