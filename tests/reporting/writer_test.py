"""The log survives kills, NaNs and restarts."""

import json
import math

import numpy as np
import pytest

from ckda_jax.reporting.writer import Writer, drop_partial_line, read_rows
from ckda_jax.structs import InputError
from tests import runs
from tests.reporting.events_test import read_events


def log(writer, *positions):
    for stage, step in positions:
        writer.scalars(stage=stage, step=step, epoch=1, values={"loss": stage + step})


def positions(workdir):
    rows = read_rows(workdir / "metrics.jsonl")
    return [(row["stage"], row["step"]) for row in rows]


def test_line_holds_position_values_and_time(tmp_path):
    writer = Writer(tmp_path, tensorboard=False, clock=lambda: 12.5)
    values = {"loss": np.float32(1.5), "loss/identity": math.nan}
    writer.scalars(stage=1, step=20, epoch=2, values=values)
    # Read before closing: every line is on disk when it is written.
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    writer.close()
    assert json.loads(line) == {
        "stage": 1,
        "step": 20,
        "epoch": 2,
        "loss": 1.5,
        "loss/identity": None,
        "time": 12.5,
    }


def test_reopening_drops_a_partial_line_and_appends(tmp_path):
    writer = Writer(tmp_path, tensorboard=False)
    log(writer, (0, 10), (0, 20))
    writer.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"stage": 0, "st')
    assert positions(tmp_path) == [(0, 10), (0, 20)]
    writer = Writer(tmp_path, tensorboard=False)
    log(writer, (0, 30))
    writer.close()
    assert positions(tmp_path) == [(0, 10), (0, 20), (0, 30)]


def test_partial_line_alone_leaves_an_empty_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage"')
    drop_partial_line(path)
    assert path.read_text() == ""
    drop_partial_line(tmp_path / "absent")


def test_cut_back_keeps_what_was_logged_up_to_the_position(tmp_path):
    writer = Writer(tmp_path, tensorboard=False)
    log(writer, (0, 10), (0, 20), (1, 10), (1, 20), (2, 10))
    writer.cut_back(1, 10)
    assert positions(tmp_path) == [(0, 10), (0, 20), (1, 10)]
    log(writer, (1, 20))
    writer.cut_back(stage=1, step=20)
    writer.close()
    assert positions(tmp_path) == [(0, 10), (0, 20), (1, 10), (1, 20)]


def test_inactive_writer_writes_nothing(tmp_path):
    writer = Writer(tmp_path / "run", active=False)
    log(writer, (0, 10))
    writer.cut_back(0, 0)
    writer.close()
    assert not (tmp_path / "run").exists()


def test_closed_writer_refuses(tmp_path):
    writer = Writer(tmp_path, tensorboard=False)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        log(writer, (0, 10))


def test_tensorboard_has_one_run_per_stage_with_the_steps(tmp_path):
    writer = Writer(tmp_path)
    log(writer, (0, 10), (0, 20), (1, 10))
    writer.close()
    steps = {}
    for stage in ("stage1", "stage2"):
        (file,) = (tmp_path / "tensorboard" / stage).iterdir()
        events = read_events(file)
        steps[stage] = [e.step for e in events if e.summary.value]
        purged = [e.step for e in events if e.HasField("session_log")]
        assert purged == [10]
    assert steps == {"stage1": [10, 20], "stage2": [10]}


@pytest.mark.parametrize("first", ["metrics.jsonl", "tensorboard"])
def test_a_full_disk_is_an_error_whichever_file_meets_it_first(tmp_path, first):
    """More scalars than any queue holds, and no thread that could end unheard."""
    values = {f"loss/{i}": float(i) for i in range(15)}
    writer = Writer(tmp_path)
    writer.scalars(stage=0, step=0, epoch=1, values=values)
    (events,) = (tmp_path / "tensorboard" / "stage1").iterdir()
    padded = events if first == "tensorboard" else tmp_path / "metrics.jsonl"
    with open(padded, "a") as file:
        file.write(json.dumps({"stage": 0, "step": 0}) + " " * 10_000 + "\n")
    said = rf"^{tmp_path}/{first}: cannot be written \(File too large\); make room "
    with runs.small_files_only(limit=20_000):
        with pytest.raises(OSError, match=said):
            for step in range(1, 60):
                writer.scalars(stage=0, step=step, epoch=1, values=values)
        # What could not be written is not tried again, nor does it fail again.
        writer.close()
    assert 2 < len(positions(tmp_path)) < 60


def test_what_was_logged_is_brought_to_the_disk(tmp_path, monkeypatch):
    writer = Writer(tmp_path)
    log(writer, (0, 10))
    done = runs.record_disk(monkeypatch)
    writer.sync()
    writer.close()
    writer.sync()
    (events,) = (tmp_path / "tensorboard" / "stage1").iterdir()
    assert done == [("sync", tmp_path / "metrics.jsonl"), ("sync", events)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[1]", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b'{"stage": 0, "step": 1, "los\xf3": 1.0}', "not a JSON object"),
        (b'{"stagd": 0, "step": 1}', "'stage' is no whole number"),
        (b'{"stage": "0", "step": 1}', "'stage' is no whole number"),
        (b'{"stage": 0, "step": 1.5}', "'step' is no whole number"),
        (b'{"stage": 0, "step": 1, "time": "1"}', "'time' is no number"),
    ],
)
def test_broken_line_is_named(tmp_path, line, said):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"stage": 0, "step": 0}\n' + line + b"\n")
    with pytest.raises(InputError, match=f"line 2: {said}; remove that line"):
        read_rows(path)


def test_a_cut_off_line_may_hold_anything(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"stage": 0, "step": 0}\n{"stage": 0, "st\xf3')
    assert positions(tmp_path) == [(0, 0)]


def test_no_file_holds_no_lines(tmp_path):
    assert read_rows(tmp_path / "absent") == []
