from pathlib import Path

import numpy as np
import pytest

from ckda_jax.data.row import Row, as_records
from ckda_jax.structs import INFRARED, VISIBLE

ROOT = Path("/root")


def test_as_records_makes_parallel_columns():
    got = as_records(ROOT, [Row("a/b.jpg", 7, INFRARED, 3, 9), Row("c", 0, VISIBLE, 1)])
    assert got.paths.tolist() == ["/root/a/b.jpg", "/root/c"]
    assert got.identity.tolist() == [7, 0]
    assert got.modality.tolist() == [INFRARED, VISIBLE]
    assert got.camera.tolist() == [3, 1]
    assert got.tracklet.tolist() == [9, -1]


@pytest.mark.parametrize("count", [0, 3])
def test_as_records_has_the_same_types_whatever_the_length(count):
    rows = [Row(f"{n}.jpg", n, VISIBLE, 1) for n in range(count)]
    got = as_records(ROOT, rows)
    assert len(got) == count
    assert got.paths.dtype.kind == "U"
    columns = [got.identity, got.modality, got.camera, got.tracklet]
    assert [c.dtype for c in columns] == [np.int64, np.int8, np.int32, np.int32]
