"""Blocks: what was written comes back, and what is damaged is named."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from ckda_jax.retrieval.gallery import blocks
from ckda_jax.structs import InputError
from tests import galleries
from tests.galleries import WIDTH


@pytest.fixture
def block(tmp_path):
    """A block of five vectors, without a known identity in the first."""
    entries = galleries.entries(0, 5)
    entries[0] = dataclasses.replace(entries[0], identity=None, camera=None)
    return blocks.write(tmp_path, "000001", galleries.vectors(0, 5), entries)


def read(folder, block):
    return blocks.vectors(folder, block, width=WIDTH, dtype="float32")


def test_a_block_comes_back(tmp_path, block):
    found = read(tmp_path, block)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, galleries.vectors(0, 5))
    rows = blocks.entries(blocks.table(tmp_path, block))
    assert rows[1:] == galleries.entries(1, 5)
    assert (rows[0].identity, rows[0].camera) == (None, None)
    blocks.verify(tmp_path, block)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["000001.parquet", "000001.vectors.npy"]


def test_json_brings_a_block_back(block):
    assert blocks.from_json(dataclasses.asdict(block)) == block


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../etc"},
        {"name": "1"},
        {"rows": -1},
        {"rows": True},
        {"size": {".vectors.npy": 1}},
        {"size": {".vectors.npy": 1, ".parquet": "2"}},
        {"digest": {"../x": "0", ".parquet": "0"}},
    ],
)
def test_json_of_no_block_is_refused(block, change):
    with pytest.raises(ValueError, match="block"):
        blocks.from_json(dataclasses.asdict(block) | change)


@pytest.mark.parametrize("ending", [blocks.VECTORS, blocks.TABLE])
def test_a_file_cut_off_or_lost_is_refused(tmp_path, block, ending):
    path = block.path(tmp_path, ending)
    path.write_bytes(path.read_bytes()[:-1])
    reader = read if ending == blocks.VECTORS else blocks.table
    with pytest.raises(InputError, match=rf"{path}: has \d+ of \d+ bytes"):
        reader(tmp_path, block)
    path.unlink()
    with pytest.raises(InputError, match=f"{path}: No such file"):
        reader(tmp_path, block)


@pytest.mark.parametrize("ending", [blocks.VECTORS, blocks.TABLE])
def test_a_changed_byte_is_found_by_its_digest(tmp_path, block, ending):
    path = block.path(tmp_path, ending)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="not those that were written"):
        blocks.verify(tmp_path, block)


def test_vectors_of_another_shape_or_type_are_refused(tmp_path, block):
    with pytest.raises(InputError, match=r"float32 \(5, 6\) in place of float16"):
        blocks.vectors(tmp_path, block, width=WIDTH, dtype="float16")
    with pytest.raises(InputError, match=r"in place of float32 \(5, 7\)"):
        blocks.vectors(tmp_path, block, width=7, dtype="float32")


def as_is(folder, block, ending):
    """Say that the file on disk is just as it should be."""
    size = block.path(folder, ending).stat().st_size
    return dataclasses.replace(block, size=block.size | {ending: size})


def test_vectors_that_hide_python_objects_are_refused(tmp_path, block):
    path = block.path(tmp_path, blocks.VECTORS)
    np.save(path, np.array([{}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, as_is(tmp_path, block, blocks.VECTORS))


def test_another_table_is_refused(tmp_path, block):
    path = block.path(tmp_path, blocks.TABLE)
    for content in (pa.table({"path": ["a"] * 5}), blocks.COLUMNS.empty_table()):
        pyarrow.parquet.write_table(content, path)
        with pytest.raises(InputError, match=r"cannot be read: \d rows of"):
            blocks.table(tmp_path, as_is(tmp_path, block, blocks.TABLE))
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="cannot be read"):
        blocks.table(tmp_path, as_is(tmp_path, block, blocks.TABLE))
