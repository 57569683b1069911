import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from ckda_jax.files import (
    finite,
    sync_folder,
    write_all,
    write_bytes,
    write_json,
    write_text,
)
from tests import runs


def test_write_json_turns_what_json_lacks_into_null(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"a": np.array([1.0, np.inf]), "b": (np.int64(2),), "c": tmp_path})
    assert json.loads(path.read_text()) == {
        "a": [1.0, None],
        "b": [2],
        "c": str(tmp_path),
    }
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert json.loads(path.read_text()) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_what_is_written_is_on_the_disk_with_its_name(tmp_path, monkeypatch):
    done, replace = runs.record_disk(monkeypatch), os.replace

    def note_replace(before, after):
        replace(before, after)
        done.append(("replace", Path(before)))

    monkeypatch.setattr(os, "replace", note_replace)
    write_text(tmp_path / "config.json", "{}")
    (synced, draft), replaced, named = done
    assert synced == "sync" and replaced == ("replace", draft)
    assert named == ("sync", tmp_path)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_system_need_not_know_how_to_sync_a_folder(
    tmp_path, monkeypatch, number
):
    def refuse(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if number == errno.EINVAL:
        sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="Input/output error"):
            sync_folder(tmp_path)


def test_what_an_unbuffered_file_takes_in_parts_is_written_whole(tmp_path):
    class Slow(io.FileIO):
        """Takes three bytes at a time."""

        def write(self, content):
            return super().write(content[:3])

    with Slow(tmp_path / "slow", "wb") as file:
        write_all(file, b"12345678")
    assert (tmp_path / "slow").read_bytes() == b"12345678"


def test_bytes_and_text_are_written_as_they_are(tmp_path):
    write_bytes(tmp_path / "bytes", b"\0\r\n\xff")
    assert (tmp_path / "bytes").read_bytes() == b"\0\r\n\xff"
    write_text(tmp_path / "text", "ä\n")
    assert (tmp_path / "text").read_bytes() == "ä\n".encode()
    assert len(list(tmp_path.rglob("*"))) == 2


def test_a_folder_that_is_gone_is_not_made_again(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_bytes(tmp_path / "gone" / "bytes", b"")
    assert list(tmp_path.iterdir()) == []


def test_finite_leaves_text_and_none_alone():
    assert finite({"a": None, "b": "nan", "c": True}) == {
        "a": None,
        "b": "nan",
        "c": True,
    }
