import pytest

from ckda_jax.parity.__main__ import main
from tests.parity import folders


@pytest.fixture
def recording(tmp_path):
    arrays = folders.read("posembed.npz").arrays
    return folders.write(tmp_path, "posembed.npz", arrays)


def test_agreement_exits_0_with_a_row_per_quantity(recording, capsys):
    assert main([str(recording)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("posembed.npz  ") == 5
    assert "5 ok, 0 different on purpose, 0 MISS, 0 NOT COMPARED" in printed
    assert "not in the folder: model_tiny.npz" in printed


def test_a_miss_exits_1_and_is_repeated_at_the_end(recording, capsys):
    changed = folders.changed("posembed.npz", "up").arrays
    folders.write(recording, "posembed.npz", changed)
    assert main([str(recording)]) == 1
    assert capsys.readouterr().out.count("MISS") == 3


def test_an_unknown_file_exits_1(recording, capsys):
    (recording / "extra.npz").write_bytes(b"")
    assert main([str(recording)]) == 1
    assert "extra.npz" in capsys.readouterr().out


def test_a_damaged_file_exits_2_with_one_line(recording, capsys):
    whole = (recording / "posembed.npz").read_bytes()
    (recording / "posembed.npz").write_bytes(whole[: len(whole) // 2])
    assert main([str(recording)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_absent_folder_exits_2(tmp_path, capsys):
    assert main([str(tmp_path / "missing")]) == 2
    assert "no such folder" in capsys.readouterr().err
