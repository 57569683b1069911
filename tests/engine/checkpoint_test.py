"""Checkpoints: whole or not at all, and bit for bit."""

import errno
import shutil
import sys
import time
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.state import TrainState
from ckda_jax.structs import InputError
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
    unfinished = tmp_path / "stages" / "1.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "stages" / "0", unfinished)
    (unfinished / "commit_success.txt").unlink(missing_ok=True)
    again = Checkpoints(tmp_path)
    assert again.stages() == [0]
    again.save_stage(1, VARIABLES, MEMORY)
    again.close()
    assert not unfinished.exists()


def test_what_does_not_fit_or_is_damaged_is_one_line(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_stage(0, VARIABLES, MEMORY)
    checkpoints.save_step(Position(0, 1), state(), {})
    named = rf"^{tmp_path}: a checkpoint cannot be restored \(.*--workdir$"
    wide = {"params": {"kernel": jnp.zeros((2, 4))}}
    with pytest.raises(InputError, match=named):
        checkpoints.restore_stage(0, variables=wide, memory=MEMORY)
    with pytest.raises(InputError, match=named):
        checkpoints.restore_step(Position(0, 1), state().replace(batch_stats=wide))
    for path in (tmp_path / "stages" / "0").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(InputError, match=named):
        checkpoints.restore_as_saved(0)
    checkpoints.close()


def reopened(folder):
    """Open a folder in which writes may still go on that another one's error left."""
    for _ in range(100):
        try:
            return Checkpoints(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise
            time.sleep(0.1)
    return Checkpoints(folder)


@pytest.mark.parametrize("kind", ["stage", "step"])
def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path, kind):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_stage(0, VARIABLES, MEMORY)
    checkpoints.save_step(Position(0, 1), state(), {})
    large = {"kernel": jax.random.normal(jax.random.key(0), (100, 100))}
    named = pytest.raises(OSError, match=f"{tmp_path}: cannot be written")
    with named, runs.small_files_only(limit=8_000):
        if kind == "stage":
            checkpoints.save_stage(1, large, MEMORY)
        else:
            checkpoints.save_step(Position(0, 2), state().replace(params=large), {})
    checkpoints.close()
    again = reopened(tmp_path)
    assert again.stages() == [0]
    assert again.latest_position() == Position(0, 1)
    variables, _ = again.restore_stage(0, variables=VARIABLES, memory=MEMORY)
    chex.assert_trees_all_equal(variables, VARIABLES)
    if kind == "stage":
        again.save_stage(1, large, MEMORY)
        assert again.stages() == [0, 1]
    again.close()


def test_a_file_whose_turn_never_came_says_nothing_more(tmp_path, capsys, monkeypatch):
    async def write_fragment():
        """Stand for Orbax's own, of which a failed save leaves some unawaited."""

    write_fragment.__qualname__ = "async_serialize_from_host.<locals>.write_fragment"
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    checkpoints = Checkpoints(tmp_path)
    left = write_fragment()
    large = {"kernel": jax.random.normal(jax.random.key(0), (100, 100))}
    with pytest.raises(OSError, match="written"), runs.small_files_only(limit=8_000):
        checkpoints.save_stage(0, large, MEMORY)
    # As in another test, whose filters are its own.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del left
    checkpoints.close()
    assert not capsys.readouterr().err
