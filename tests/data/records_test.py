from collections.abc import Sequence

import numpy as np
import pytest

from ckda_jax.data import records
from ckda_jax.structs import Records

SIZE = (6, 4)
TABLE = Records(
    paths=np.array(["a/1.jpg", "a/2.jpg", "b/1.jpg"]),
    identity=np.array([7, 7, 2**40]),
    modality=np.array([0, 1, 1], np.int8),
    camera=np.array([3, -1, 2], np.int32),
    tracklet=np.array([-1, 5, 6], np.int32),
)


def test_a_shard_gives_back_the_images_of_its_rows(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    records.write_shard(tmp_path / "x", TABLE, [(0, images[0]), (2, images[2])], SIZE)
    shard = records.open_shard(tmp_path / "x")
    assert shard.num_records() == 2
    for position, row in enumerate((0, 2)):
        got = records.read_image(shard, position, SIZE)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, images[row])


def test_what_the_table_knows_is_in_the_records(tmp_path):
    import tensorflow_datasets as tfds

    folder = tmp_path / "toy" / records.VERSION
    folder.mkdir(parents=True)
    for index, rows in enumerate(([0, 1], [2])):
        pairs = [(row, np.full((*SIZE, 3), row, np.uint8)) for row in rows]
        name = records.shard_name("toy", "regdb", index, 2)
        records.write_shard(folder / name, TABLE, pairs, SIZE)
    records.write_metadata(folder, "toy", SIZE, {"regdb": [2, 1]})
    source = tfds.data_source("toy", data_dir=tmp_path, split="regdb")
    assert isinstance(source, Sequence) and len(source) == 3
    last = dict(source[2])
    np.testing.assert_array_equal(last.pop("image"), np.full((*SIZE, 3), 2))
    assert last == {
        "path": b"b/1.jpg",
        "identity": 2**40,
        "modality": 1,
        "camera": 2,
        "tracklet": 6,
    }


def test_a_shard_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file or directory"):
        records.write_shard(tmp_path / "none" / "x", TABLE, [], SIZE)
