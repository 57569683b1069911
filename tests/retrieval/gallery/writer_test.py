"""Adding and removing: what is there afterwards, and nothing else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ckda_jax.retrieval.gallery import blocks, open_gallery
from ckda_jax.retrieval.gallery import index as index_lib
from ckda_jax.retrieval.gallery import writer as writer_lib
from ckda_jax.retrieval.gallery.index import Maker
from ckda_jax.retrieval.gallery.writer import Writer
from ckda_jax.structs import InputError
from tests import galleries
from tests.galleries import WIDTH


def content(folder: Path) -> dict[str, np.ndarray]:
    """Read a gallery as vectors by path, its digests verified."""
    gallery = open_gallery(folder, verify=True)
    rows = np.concatenate([np.zeros((0, WIDTH)), *gallery.vectors])
    return {entry.path: row for entry, row in zip(gallery, rows, strict=True)}


def files(folder: Path) -> list[str]:
    """List the files of a gallery's blocks by the numbers of the blocks."""
    return sorted(path.name[:6] for path in (folder / "blocks").iterdir())


def test_added_vectors_are_there_in_order(tmp_path):
    galleries.fill(tmp_path, 3, 4, 2)
    found = content(tmp_path)
    assert list(found) == [f"/images/{number}.png" for number in range(9)]
    np.testing.assert_array_equal(list(found.values()), galleries.vectors(0, 9))


def test_small_additions_share_a_block_and_full_blocks_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_lib, "FULL", 6)
    galleries.fill(tmp_path, 3, 3, 2, 7, 1)
    found = index_lib.read(tmp_path)
    assert [block.rows for block in found.blocks] == [6, 2, 7, 1]
    assert [block.name for block in found.blocks] == [
        "000002", "000003", "000004", "000005"
    ]  # fmt: skip
    assert files(tmp_path) == sorted(2 * [block.name for block in found.blocks])
    np.testing.assert_array_equal(
        list(content(tmp_path).values()), galleries.vectors(0, 16)
    )


def test_half_precision_is_kept_and_gone_on_with(tmp_path):
    galleries.fill(tmp_path, 3, dtype="float16")
    galleries.writer(tmp_path).add(galleries.vectors(3, 5), galleries.entries(3, 5))
    gallery = open_gallery(tmp_path)
    assert [part.dtype for part in gallery.vectors] == [np.float16]
    np.testing.assert_allclose(gallery.vectors[0], galleries.vectors(0, 5), rtol=2**-11)
    with pytest.raises(InputError, match="keeps its embeddings as float16, not as"):
        galleries.writer(tmp_path, dtype="float32")


def test_a_path_added_again_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_lib, "FULL", 4)
    writer = galleries.fill(tmp_path, 4, 4, 4)
    before = index_lib.read(tmp_path).blocks
    changed = [galleries.entry(5, digest="new"), galleries.entry(12)]
    assert writer.add(galleries.vectors(50, 52), changed) == 1
    found = content(tmp_path)
    assert len(found) == 13
    np.testing.assert_array_equal(found["/images/5.png"], galleries.vectors(50, 51)[0])
    after = index_lib.read(tmp_path).blocks
    assert after[0] == before[0] and after[2] == before[2]
    assert [block.rows for block in after] == [4, 3, 4, 2]


def test_removing_takes_vectors_from_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_lib, "FULL", 5)
    writer = galleries.fill(tmp_path, 5, 5, 5)
    before = index_lib.read(tmp_path).blocks
    secret = galleries.vectors(7, 8).tobytes()
    assert writer.remove(lambda entry: entry.path == "/images/7.png") == 1
    assert writer.remove(lambda entry: entry.path == "/images/7.png") == 0
    after = index_lib.read(tmp_path).blocks
    assert (after[0], after[2]) == (before[0], before[2])
    assert len(content(tmp_path)) == 14
    every = [path.read_bytes() for path in (tmp_path / "blocks").iterdir()]
    assert not any(secret in text or b"/images/7.png" in text for text in every)
    assert writer.remove(lambda entry: True) == 14
    assert files(tmp_path) == []
    assert len(open_gallery(tmp_path)) == 0


def test_an_open_gallery_stays_as_it_was(tmp_path):
    writer = galleries.fill(tmp_path, 4)
    opened = open_gallery(tmp_path)
    writer.remove(lambda entry: entry.identity != "3")
    writer.add(galleries.vectors(4, 6), galleries.entries(4, 6))
    assert list(opened) == galleries.entries(0, 4)
    np.testing.assert_array_equal(opened.vectors[0], galleries.vectors(0, 4))
    assert len(open_gallery(tmp_path)) == 3


def test_two_writers_take_turns(tmp_path):
    one, other = galleries.writer(tmp_path), galleries.writer(tmp_path)
    one.add(galleries.vectors(0, 2), galleries.entries(0, 2))
    other.add(galleries.vectors(1, 4), galleries.entries(1, 4))
    one.add(galleries.vectors(4, 5), galleries.entries(4, 5))
    assert len(content(tmp_path)) == 5


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    writer = galleries.fill(tmp_path, 2)
    folder = tmp_path / "blocks"
    blocks.write(folder, "000002", galleries.vectors(2, 4), galleries.entries(2, 4))
    for name in ("blocks/.000003.parquet.9.tmp", ".gallery.json.9.tmp"):
        (tmp_path / name).write_text("half")
    (folder / "notes.txt").write_text("not ours")
    assert len(content(tmp_path)) == 2
    writer.add(galleries.vectors(4, 5), galleries.entries(4, 5))
    assert len(content(tmp_path)) == 3
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {
        "gallery.json", "blocks", "000002.parquet", "000002.vectors.npy", "notes.txt"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("vectors", "entries", "said"),
    [
        (galleries.vectors(0, 2), galleries.entries(0, 1), r"\(2, 6\) for 1 images"),
        (galleries.vectors(0, 1, width=4), galleries.entries(0, 1), "of width 6"),
        (np.full((1, 6), np.nan), galleries.entries(0, 1), "not finite"),
        (galleries.vectors(0, 2), 2 * galleries.entries(0, 1), "twice at once"),
    ],
)
def test_what_cannot_be_added_is_refused(tmp_path, vectors, entries, said):
    writer = galleries.fill(tmp_path, 2)
    with pytest.raises(InputError, match=said) as error:
        writer.add(vectors, entries)
    assert "rebuild" not in str(error.value)
    assert len(content(tmp_path)) == 2


def test_another_model_and_other_folders_are_refused(tmp_path):
    galleries.fill(tmp_path / "gallery", 2)
    other = Maker(digest="77", workdir="runs/b c", stage=1)
    with pytest.raises(InputError, match="holds embeddings of model 5e1f") as error:
        Writer.start(tmp_path / "gallery", other, width=WIDTH)
    command = str(error.value).split("`")[1]
    assert command.startswith(
        "python -m ckda_jax.embed --workdir 'runs/b c' --stage 1 --images "
    )
    with pytest.raises(InputError, match="holds no gallery but other files"):
        galleries.writer(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        galleries.writer(tmp_path / "file")
    assert not (tmp_path / ".lock").exists()


def test_a_damaged_gallery_is_not_added_to(tmp_path):
    writer = galleries.fill(tmp_path, 2)
    (block,) = index_lib.read(tmp_path).blocks
    path = block.path(tmp_path / "blocks", blocks.VECTORS)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="damaged: rebuild it with"):
        writer.add(galleries.vectors(2, 3), galleries.entries(2, 3))
    assert dataclasses.asdict(index_lib.read(tmp_path).blocks[0]) == (
        dataclasses.asdict(block)
    )
