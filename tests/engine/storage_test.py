"""Errors of storage in one line; real ones are in `checkpoint_test` and `faults`."""

import jax
import numpy as np
import pytest

from ckda_jax.engine import storage
from ckda_jax.structs import InputError

PAGES = [
    """OUT_OF_RANGE: Error writing "a/.zarray" in OCDBT database at local file
"/run/d": Failed to write 29311 bytes to file 13: No space left on device
[os_error_code='28'] [tensorstore_spec='{"context": {}}']""",
    """OUT_OF_RANGE: Error opening "zarr" driver: Failed to write 29311 bytes to file
13: No space left on device [tensorstore_spec='{"context": {}}'] [os_error_code='28']
""",
]


def test_what_is_read_fails_in_the_first_line_of_what_was_said(tmp_path):
    named = rf"^{tmp_path}: cannot be restored \(first\); restore .* --workdir$"
    with pytest.raises(InputError, match=named), storage.reads(tmp_path):
        raise RuntimeError("first\nsecond")


@pytest.mark.parametrize("page", PAGES)
def test_what_is_written_fails_with_the_words_of_the_system(tmp_path, page):
    cleared = []
    named = rf"^{tmp_path}: cannot be written \(No space left on device\); make room"
    with pytest.raises(OSError, match=named):
        with storage.writes(tmp_path, lambda: cleared.append(True)):
            raise ValueError(page)
    assert cleared == [True]


def test_what_cannot_be_cleared_away_hides_no_error(tmp_path):
    def clear():
        raise OSError("cannot be removed")

    with pytest.raises(OSError, match="No room"), storage.writes(tmp_path, clear):
        raise OSError("No room")


def test_other_errors_are_nobodys_business(tmp_path):
    with pytest.raises(KeyError), storage.writes(tmp_path, lambda: None):
        raise KeyError


def test_an_error_that_is_under_way_is_not_hidden(capsys):
    with pytest.raises(RuntimeError, match="first"):
        try:
            raise RuntimeError("first")
        finally:
            with storage.hides_nothing():
                raise ValueError("second\nof two lines")
    assert capsys.readouterr().err == "error: second\n"
    with pytest.raises(ValueError, match="alone"), storage.hides_nothing():
        raise ValueError("alone")


def test_arrays_larger_than_the_machine_are_refused():
    small = jax.ShapeDtypeStruct((2, 3), np.float32)
    storage.check_room({"a": small})
    huge = jax.ShapeDtypeStruct((2**31, 2**29), np.float32)
    with pytest.raises(InputError, match="take 4.29e.09 GiB, and this machine has"):
        storage.check_room({"a": small, "b": huge})
