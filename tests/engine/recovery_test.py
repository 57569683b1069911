"""Recovery: the newest that is whole, loudly, or a refusal."""

import errno

import pytest

from ckda_jax.engine import manifest
from ckda_jax.engine.recovery import recover
from ckda_jax.engine.shelf import END, Position, Shelf
from ckda_jax.structs import InputError
from tests import runs
from tests.engine.shelf_test import put

RUN = [
    Position(0, 3),
    Position(0, END),
    Position(1, 2),
    Position(1, 3),
]
"""Checkpoints of a run inside its second stage."""


@pytest.fixture
def shelf(tmp_path):
    """The shelf of such a run."""
    made = Shelf(tmp_path / "run" / "checkpoints")
    made.root.mkdir(parents=True)
    for position in RUN:
        put(made, position)
    return made


def injure(shelf, *positions):
    """Flip a bit in some checkpoints."""
    for position in positions:
        (shelf.folder(position) / "array").write_bytes(b"y")


def found(shelf, *, first=0, strict=False):
    """Recover; return where to go on from, and what is said."""
    said = []
    return recover(shelf, first, strict=strict, warn=said.append), said


def test_a_new_run_has_nothing_to_recover(tmp_path):
    assert found(Shelf(tmp_path)) == (None, [])


@pytest.mark.parametrize("strict", [False, True])
def test_the_newest_is_taken_without_a_word(shelf, strict):
    before = runs.listing(shelf.root)
    assert found(shelf, strict=strict) == (Position(1, 3), [])
    assert runs.listing(shelf.root) == before


def test_a_damaged_one_gives_way_to_the_next_older_in_one_line(shelf):
    injure(shelf, Position(1, 3))
    chosen, said = found(shelf)
    assert chosen == Position(1, 2)
    assert said == [
        f"{shelf.root}/steps/10000003/array has another SHA-256. GOING ON FROM STEP 2 "
        f"OF STAGE 2 INSTEAD; the damaged checkpoint is now in {shelf.root}/damaged"
    ]
    assert shelf.positions() == RUN[:-1]
    assert (shelf.root / "damaged" / "steps-10000003" / "array").exists()
    assert found(shelf) == (Position(1, 2), [])


def test_all_damaged_ones_are_passed_over(shelf):
    injure(shelf, Position(1, 3), Position(1, 2))
    chosen, said = found(shelf)
    assert chosen == Position(0, END)
    assert len(said) == 2


def test_a_damaged_end_of_a_stage_gives_way_to_a_state_inside_it(shelf):
    put(shelf, Position(1, END))
    injure(shelf, Position(1, END))
    assert found(shelf)[0] == Position(1, 3)


def test_strict_changes_nothing_and_says_what_it_would_go_on_from(shelf):
    injure(shelf, Position(1, 3))
    before = runs.listing(shelf.root)
    said = "10000003/array has another SHA-256; .* to go on from step 2 of stage 2$"
    with pytest.raises(InputError, match=said):
        found(shelf, strict=True)
    assert runs.listing(shelf.root) == before


def test_where_all_are_damaged_nothing_begins_anew(shelf):
    injure(shelf, *RUN)
    before = runs.listing(shelf.root)
    with pytest.raises(InputError, match="all checkpoints are damaged") as caught:
        found(shelf)
    first, *reasons = str(caught.value).split("\n")
    assert first.startswith(str(shelf.root.parent))
    assert [reason.split("/")[-2] for reason in reasons] == [
        "10000003",
        "10000002",
        "0",
        "3",
    ]
    assert runs.listing(shelf.root) == before


def test_a_state_is_of_no_use_without_the_end_of_the_stage_before(shelf):
    injure(shelf, Position(0, END))
    said = (
        "stages/0/array has another SHA-256; step 3 of stage 2 cannot go on without "
        "the end of stage 1: restore that file from a backup"
    )
    with pytest.raises(InputError, match=said):
        found(shelf)
    assert shelf.positions() == RUN
    # A run that began with the second stage had its teacher from elsewhere.
    assert found(shelf, first=1) == (Position(1, 3), [])


@pytest.mark.parametrize("position", [Position(1, 3), Position(0, END)])
def test_what_cannot_be_read_now_is_not_given_up(shelf, monkeypatch, position):
    before, digest = runs.listing(shelf.root), manifest.sha256

    def refuse(path):
        if path.parent == shelf.folder(position):
            raise OSError(errno.ETIMEDOUT, "Connection timed out", str(path))
        return digest(path)

    monkeypatch.setattr(manifest, "sha256", refuse)
    said = (
        rf"^{shelf.folder(position)}/array: cannot be read \(Connection timed out\); "
        "it may be whole: .* run the same command again$"
    )
    with pytest.raises(OSError, match=said):
        found(shelf)
    assert runs.listing(shelf.root) == before
    monkeypatch.undo()
    assert found(shelf) == (Position(1, 3), [])


def test_junk_is_left_alone_and_told(shelf):
    junk = shelf.root / "steps" / "99999999"
    junk.mkdir()
    chosen, said = found(shelf, strict=True)
    assert chosen == Position(1, 3)
    assert said == [f"{junk} holds no checkpoint; it does not count"]
    assert junk.exists()
