import numpy as np
import pytest

from ckda_jax.parity import golden, recorded
from ckda_jax.parity.golden import Golden, Regrouping
from ckda_jax.structs import InputError
from tests.parity import folders


def test_ledger_knows_what_nobody_read():
    file = Golden("a.npz", {"x": np.zeros(1), "y": np.ones(1), "s/z": np.ones(2)})
    file.take("x")
    assert file.unread() == ["y", "s/z"]
    assert list(file.state("s/")) == ["z"]
    assert file.excuse("y|q") == ["y"]
    assert file.unread() == []


def test_take_of_a_key_that_is_not_there():
    with pytest.raises(InputError, match="a.npz: holds no 'x'"):
        Golden("a.npz", {}).take("x")


@pytest.mark.parametrize(
    ("key", "twin"),
    [
        ("eval/feat", "f64/eval/feat"),
        ("random/id", "random/f64/id"),
        ("nofold/lr", "nofold_f64/lr"),
    ],
)
def test_expected_prefers_the_float64_twin_and_reads_both(key, twin):
    file = Golden("a.npz", {key: np.zeros(1, np.float32), twin: np.ones(1)})
    assert file.expected(key).item() == 1.0
    assert file.unread() == []


def test_expected_without_a_twin():
    file = Golden("a.npz", {"x": np.zeros(1, np.float32)})
    assert file.expected("x").dtype == np.float32


def test_regrouping_sorts_visible_first_and_back():
    rows = np.arange(6)
    regrouping = Regrouping.by(np.array([1, 0, 1, 1, 0, 0]))
    grouped = regrouping.group(rows)
    assert grouped.tolist() == [[0, 2, 3], [1, 4, 5]]
    assert regrouping.restore(grouped).tolist() == rows.tolist()


def test_regrouping_refuses_unequal_counts():
    with pytest.raises(InputError, match="2 visible and 1 infrared"):
        Regrouping.by(np.array([1, 0, 1]))


def test_geometry_of_the_recorded_model():
    sizes = folders.sizes()
    assert (sizes.image_size, sizes.stride, sizes.heads) == ((64, 32), 12, 3)


def test_geometry_without_a_size():
    with pytest.raises(InputError, match="no cfg/patch"):
        golden.geometry(
            Golden("a.npz", {"cfg/img_h": np.array(1), "cfg/img_w": np.array(1)})
        )


def test_channels_move_and_come_back():
    images = np.arange(24).reshape(1, 3, 2, 4)
    last = recorded.images(images, "float32")
    assert last.shape == (1, 2, 4, 3)
    np.testing.assert_array_equal(golden.channels_first(last), images)


def test_read_folder_takes_the_files_of_the_format(tmp_path):
    folders.write(tmp_path, "posembed.npz", {"x": np.zeros(1)})
    folders.write(tmp_path, "other.npz", {"x": np.zeros(1)})
    assert list(golden.read_folder(tmp_path)) == ["posembed.npz"]
    assert golden.other_files(tmp_path) == ["other.npz"]
    assert "posembed.npz" not in golden.absent_files(tmp_path)
    assert "metrics.npz" in golden.absent_files(tmp_path)


def test_read_folder_refuses_what_is_no_such_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        golden.read_folder(tmp_path / "missing")
    with pytest.raises(InputError, match=r"holds none of model_tiny\.npz"):
        golden.read_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a zip"])
def test_read_folder_refuses_a_damaged_file(tmp_path, content):
    (tmp_path / "posembed.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"posembed\.npz: cannot be read"):
        golden.read_folder(tmp_path)


def test_read_folder_never_unpickles(tmp_path):
    np.savez(tmp_path / "posembed.npz", x=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="cannot be read"):
        golden.read_folder(tmp_path)
