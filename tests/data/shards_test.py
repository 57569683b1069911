import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ckda_jax.data import decode, records, shards
from ckda_jax.structs import Records

SIZE = (8, 4)


def write(root: Path, count: int) -> Records:
    """Write small images of one person."""
    root.mkdir()
    for index in range(count):
        pixels = np.full((10, 5, 3), 10 * index, np.uint8)
        Image.fromarray(pixels).save(root / f"{index}.png")
    return Records(
        paths=np.array([str(root / f"{index}.png") for index in range(count)]),
        identity=np.full(count, 3),
        modality=np.zeros(count, np.int8),
        camera=np.ones(count, np.int32),
        tracklet=np.full(count, -1, np.int32),
    )


@pytest.fixture
def shard(tmp_path) -> shards.Shard:
    table = write(tmp_path / "root", 3)
    root = str(tmp_path / "root")
    (only,) = shards.plan("toy", root, {"lanczos": table}, SIZE)
    return only


def make(out: Path, shard: shards.Shard) -> shards.Entry:
    ticks = []
    (out / shards.JOURNAL).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        entry = shards.make(out, shard, pool, lambda: ticks.append(1))
    assert len(ticks) == len(shard.table)
    return entry


def test_a_plan_cuts_every_chain_into_even_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "IMAGES", 4)
    table = write(tmp_path / "root", 9)
    tables = {"lanczos": table, "regdb": table.take(np.arange(2))}
    planned = shards.plan("toy", str(tmp_path / "root"), tables, SIZE)
    assert [(s.chain, len(s.table), s.file) for s in planned] == [
        ("lanczos", 3, "toy/1.0.0/toy-lanczos.array_record-00000-of-00003"),
        ("lanczos", 3, "toy/1.0.0/toy-lanczos.array_record-00001-of-00003"),
        ("lanczos", 3, "toy/1.0.0/toy-lanczos.array_record-00002-of-00003"),
        ("regdb", 2, "toy/1.0.0/toy-regdb.array_record-00000-of-00001"),
    ]
    names = [path for s in planned[:3] for path in s.table.paths.tolist()]
    assert names == table.paths.tolist()


def test_a_finished_shard_holds_what_the_files_show(tmp_path, shard):
    os.truncate(shard.table.paths[1], 45)
    entry = make(tmp_path / "out", shard)
    assert shards.finished(tmp_path / "out", shard) == entry
    assert list(entry["images"]) == ["0.png", "2.png"]
    assert entry["images"]["2.png"] == shards.digest(shard.table.paths[2])
    assert list(entry["unusable"]) == ["1.png"]
    assert entry["unusable"]["1.png"].startswith("cannot be decoded (")
    opened = records.open_shard(tmp_path / "out" / shard.file)
    for position, row in enumerate((0, 2)):
        want = decode.read_image(shard.table.paths[row], SIZE)
        got = records.read_image(opened, position, SIZE)
        np.testing.assert_array_equal(got, want)


def test_a_shard_counts_only_whole_and_of_the_same_files(tmp_path, shard):
    out = tmp_path / "out"
    assert shards.finished(out, shard) is None
    entry = make(out, shard)
    file = out / shard.file
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert shards.finished(out, shard) is None
    file.write_bytes(whole)
    assert shards.finished(out, shard) == entry
    assert shards.finished(out, shard._replace(size=(4, 4))) is None
    os.utime(shard.table.paths[0], ns=(1, 1))
    assert shards.finished(out, shard) is None


def test_a_shard_that_fails_leaves_nothing(tmp_path, shard):
    (tmp_path / "out" / shards.JOURNAL).parent.mkdir()
    (tmp_path / "out" / "toy").touch()
    with pytest.raises(OSError), ThreadPoolExecutor(1) as pool:
        shards.make(tmp_path / "out", shard, pool, lambda: None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["toy"]
