"""Event files say what TensorBoard's usual writer says, as soon as it is said."""

import re
from typing import Any

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from ckda_jax.reporting.events import Events
from tests import runs

VALUES = {"loss": 1.5, "gradient_share/alignment": float("nan"), "lr": 1e-4}


def read_events(path):
    """Read a record file: length, checksum, payload, checksum."""
    proto: Any = event_pb2  # made by protobuf at import, unknown to type checkers
    content, at, events = path.read_bytes(), 0, []
    while at < len(content):
        header = content[at : at + 8]
        end = at + 12 + int.from_bytes(header, "little")
        payload = content[at + 12 : end]
        for part, told in ((header, content[at + 8 :]), (payload, content[end:])):
            assert masked_crc32c(part) == int.from_bytes(told[:4], "little")
        events.append(proto.Event.FromString(payload))
        at = end + 4
    return events


def told(folder):
    """List what a folder's only file tells TensorBoard, in order."""
    (path,) = folder.iterdir()
    events = read_events(path)
    assert events[0].file_version == "brain.Event:2"
    scalars = [
        (event.step, value.tag, str(value.simple_value))
        for event in events
        for value in event.summary.value
    ]
    starts = [(e.step, e.session_log.status) for e in events if e.session_log.status]
    return scalars, starts, path.name


def test_it_tells_what_the_usual_writer_tells(tmp_path):
    usual = SummaryWriter(str(tmp_path / "usual"), purge_step=3)
    events = Events(tmp_path / "own", 3)
    for step in (3, 4):
        events.scalars(step, VALUES)
        for name, value in VALUES.items():
            usual.add_scalar(name, value, step)
    usual.close()
    # Read before it is closed: nothing waits in a buffer.
    scalars, starts, name = told(tmp_path / "own")
    events.close()
    wanted, wanted_starts, usual_name = told(tmp_path / "usual")
    assert len(scalars) == 6
    assert (scalars, starts) == (wanted, wanted_starts)
    # TensorBoard knows the files by this and orders them by the rest.
    pattern = r"events\.out\.tfevents\.\d{10}\..+"
    assert re.fullmatch(pattern, name) and re.fullmatch(pattern, usual_name)


def test_events_of_one_second_are_not_written_over(tmp_path):
    for step in (1, 2):
        events = Events(tmp_path / "stage1", step)
        events.scalars(step, {"loss": 0.0})
        events.close()
    kept = [e for path in (tmp_path / "stage1").iterdir() for e in read_events(path)]
    assert sorted(event.step for event in kept if event.summary.value) == [1, 2]


def test_what_cannot_be_written_is_raised_at_once(tmp_path):
    events = Events(tmp_path / "stage1", 0)
    with runs.small_files_only(200), pytest.raises(OSError, match="File too large"):
        for step in range(9):
            events.scalars(step, VALUES)
    events.close()
