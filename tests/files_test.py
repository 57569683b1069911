import json

import numpy as np
import pytest

from ckda_jax.files import finite, write_bytes, write_json, write_text


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
