"""The shelf: places, what counts, and what is kept."""

import resource
import shutil
import time

import pytest

from ckda_jax.engine import manifest
from ckda_jax.engine.manifest import Damage
from ckda_jax.engine.shelf import END, Position, Shelf, superfluous
from tests import runs


@pytest.fixture
def shelf(tmp_path):
    """An empty shelf."""
    return Shelf(tmp_path / "checkpoints")


def put(shelf, position, content=b"x"):
    """Write a checkpoint of one file into its place."""
    shelf.root.mkdir(exist_ok=True)
    written = shelf.unfinished(position)
    written.mkdir()
    (written / "array").write_bytes(content)
    manifest.write(written, position.facts)
    shelf.put(written, position)
    return shelf.folder(position)


def test_checkpoints_are_listed_in_the_order_of_the_run(shelf):
    order = [Position(0, 300), Position(0, END), Position(1, 5), Position(1, END)]
    for position in reversed(order):
        put(shelf, position)
    assert shelf.positions() == order
    assert [str(shelf.folder(p).relative_to(shelf.root)) for p in order] == [
        "steps/300",
        "stages/0",
        "steps/10000005",
        "stages/1",
    ]


def test_a_position_is_called_by_stages_counted_from_1():
    assert str(Position(0, 20)) == "step 20 of stage 1"
    assert str(Position(1, END)) == "the end of stage 2"


def test_junk_does_not_count(shelf):
    put(shelf, Position(0, 5))
    steps = shelf.root / "steps"
    for name in ("999", "abc", "007", "1e3", "9" * 30, "5.orbax-checkpoint-tmp"):
        (steps / name).mkdir()
    (steps / "998" / "junk").mkdir(parents=True)
    (steps / "7").write_bytes(b"")
    (steps / ".DS_Store").write_bytes(b"")
    assert shelf.positions() == [Position(0, 5)]
    assert [path.name for path in shelf.junk()] == ["998", "999"]


def test_what_orbax_has_written_counts_also_without_a_manifest(shelf):
    folder = put(shelf, Position(0, 5))
    (folder / "_CHECKPOINT_METADATA").write_bytes(b"")
    (folder / "manifest.json").unlink()
    assert shelf.positions() == [Position(0, 5)]
    with pytest.raises(Damage, match=f"^{folder}/manifest.json is missing"):
        shelf.verify(Position(0, 5))


def test_a_checkpoint_under_anothers_name_is_damaged(shelf):
    put(shelf, Position(0, 5)).rename(shelf.root / "steps" / "6")
    with pytest.raises(Damage, match="is of step 5, not 6"):
        shelf.verify(Position(0, 6))


def test_what_lies_in_the_place_of_a_new_one_is_set_aside(shelf):
    for content in (b"one", b"two", b"three"):
        folder = put(shelf, Position(0, 5), content)
    assert (folder / "array").read_bytes() == b"three"
    assert (shelf.root / "damaged" / "steps-5" / "array").read_bytes() == b"two"


def test_a_score_is_part_of_the_manifest(shelf):
    put(shelf, Position(0, 5))
    shelf.rate(Position(0, 5), 0.25)
    assert shelf.verify(Position(0, 5))["score"] == 0.25


def test_new_and_best_are_kept_and_stages_for_good(shelf):
    put(shelf, Position(0, END))
    for step, score in enumerate((0.1, 0.5, float("nan"), 0.4, 0.3), start=1):
        put(shelf, Position(0, step))
        shelf.rate(Position(0, step), score)
    shelf.prune(2)
    kept = [Position(0, 2), Position(0, 4), Position(0, 5), Position(0, END)]
    assert shelf.positions() == kept
    assert runs.listing(shelf.root / "unfinished") == []


def test_what_a_kill_left_of_a_score_is_taken_away(shelf):
    folder = put(shelf, Position(0, 5))
    before = runs.listing(shelf.root)
    (folder / ".manifest.json.7.tmp").write_bytes(b"{")
    shelf.clear()
    assert runs.listing(shelf.root) == [name for name in before if name != "unfinished"]


def test_what_cannot_be_removed_is_named(shelf, monkeypatch):
    put(shelf, Position(0, 5))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
    with pytest.raises(OSError, match=f"^{shelf.root}/unfinished: cannot be removed;"):
        shelf.clear()


def test_a_process_that_can_open_nothing_takes_no_checkpoint_for_absent(shelf):
    put(shelf, Position(0, 5))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            shelf.positions()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert shelf.positions() == [Position(0, 5)]


@pytest.mark.parametrize(
    ("scores", "keep", "gone"),
    [
        ({}, 2, []),
        ({1: None, 2: None, 3: None}, 2, [1]),
        ({1: 0.5, 2: 0.5, 3: None, 4: None}, 1, [2, 3]),
        ({1: float("inf"), 2: 0.1, 3: None}, 1, [1]),
        ({1: float("nan"), 2: float("-inf"), 3: None}, 1, [1, 2]),
    ],
)
def test_superfluous_are_those_neither_new_nor_best(scores, keep, gone):
    states = {Position(0, step): score for step, score in scores.items()}
    assert superfluous(states, keep) == [Position(0, step) for step in gone]


def test_each_stage_has_a_best_of_its_own():
    scores = {Position(0, 1): 0.9, Position(1, 1): 0.2, Position(1, 2): 0.1}
    assert superfluous(scores | {Position(1, 3): None}, 1) == [Position(1, 2)]
