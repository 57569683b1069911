"""A dataset decoded once: the same batches, whatever interrupts it, no surprises."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import chex
import numpy as np
import pytest

from ckda_jax.data import catalog, decode, prepare, prepared, shards, synthetic
from ckda_jax.data.dataset import Dataset, Options
from ckda_jax.data.pipeline import Loading, TrainingStream, images_of
from ckda_jax.data.prepare import Order
from ckda_jax.data.sampling import PairedSampler
from ckda_jax.structs import InputError, Records
from tests import runs
from tests.data import layouts

SIZE = (32, 16)


def order_of(root: Path, **changes) -> Order:
    settings = {"dataset": "regdb", "root": str(root), "size": SIZE}
    return Order(**(settings | changes))


def stream_of(dataset: Dataset, **loading) -> TrainingStream:
    train = dataset.train
    sampler = PairedSampler(
        train.identity, train.modality, identities=3, images=4, steps=5
    )
    settings = Loading(size=SIZE, chain=dataset.resize_train, **loading)
    return TrainingStream(train, sampler, settings)


def evaluated(dataset: Dataset) -> list[np.ndarray]:
    """Read every query and gallery image."""
    return [
        images
        for protocol in dataset.protocols.values()
        for table in (protocol.query, protocol.gallery)
        for images, _ in images_of(table, SIZE, dataset.resize_test, 8, 2)
    ]


@pytest.mark.portable
@pytest.mark.parametrize("name", synthetic.NAMES)
def test_prepared_data_are_the_folder_bit_for_bit(world, prepared_world, name):
    folder, ready = (
        catalog.load(name, roots[name], Options(resample="reference"))
        for roots in (world, prepared_world)
    )
    for other in (stream_of(ready), stream_of(ready, threads=0, cache_bytes=10**6)):
        with stream_of(folder) as stream:
            assert other.get_state() == stream.get_state()
            chex.assert_trees_all_equal(list(other), list(stream))
        other.close()
    chex.assert_trees_all_equal(evaluated(ready), evaluated(folder))


@pytest.mark.parametrize("name", synthetic.NAMES)
@pytest.mark.parametrize("seed", [0, 7])
def test_prepared_data_have_the_tables_of_the_folder(world, prepared_world, name, seed):
    tables = []
    for roots in (world, prepared_world):
        dataset = catalog.load(
            name, roots[name], Options(seed=seed, protocols=("all",))
        )
        protocols = dataset.protocols.values()
        pools = [table for p in protocols for table in (p.query, p.gallery)]
        tables.append(
            [relative(table, roots[name]) for table in (dataset.train, *pools)]
        )
    assert tables[0] == tables[1]


def relative(table: Records, root: Path) -> list[tuple]:
    """List the rows of a table by paths below the root."""
    paths = [os.path.relpath(path, root) for path in table.paths.tolist()]
    rest = (table.identity, table.modality, table.camera, table.tracklet)
    return list(zip(paths, *(column.tolist() for column in rest), strict=True))


def test_worker_processes_read_prepared_data(prepared_world):
    dataset = catalog.load(
        "regdb", prepared_world["regdb"], Options(resample="reference")
    )
    with stream_of(dataset, workers=1) as stream:
        chex.assert_trees_all_equal(list(stream), list(stream_of(dataset)))


READ_AT_ONCE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ckda_jax.data import catalog, prepared

train = catalog.load("sysu", sys.argv[1]).train
root = prepared.at(sys.argv[1])
with ThreadPoolExecutor(16) as pool:
    read = pool.map(lambda path: root.image(path, "lanczos"), train.paths.tolist())
    print(sum(int(image[0, 0, 0]) for image in read))
"""


def test_threads_that_start_at_once_do_not_wait_for_each_other(prepared_world):
    root = prepared_world["sysu"]
    command = [sys.executable, "-c", READ_AT_ONCE, str(root)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120)
    train = catalog.load("sysu", root).train
    ((images, _),) = images_of(train, SIZE, "lanczos", len(train), 0)
    assert int(said.stdout) == images[:, 0, 0, 0].astype(int).sum()


def test_a_check_takes_prepared_images_as_they_are(prepared_world):
    train = catalog.load("regdb", prepared_world["regdb"]).train
    assert not Path(train.paths[0]).exists()
    decode.check_images(train)


READ_BY_TFDS = """
import sys

class WithoutTensorFlow:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        hidden = name.split(".")[0] == "tensorflow"
        return None if hidden else self.finder.find_spec(name, *rest)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(WithoutTensorFlow, sys.meta_path)
import numpy as np
import tensorflow_datasets as tfds

source = tfds.data_source("regdb", data_dir=sys.argv[1], split="regdb")
row = source[5]
print(len(source), row["path"].decode(), row["identity"], row["modality"])
np.save(sys.argv[2], row["image"])
assert "tensorflow" not in sys.modules
"""


def test_tfds_reads_the_records_without_tensorflow(world, prepared_world, tmp_path):
    file = tmp_path / "image.npy"
    arguments = [str(prepared_world["regdb"]), str(file)]
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_BY_TFDS, *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    order = order_of(world["regdb"], resample="reference")
    table = prepare.images(order)["regdb"]
    path = os.path.relpath(table.paths[5], world["regdb"])
    facts = [len(table), path, table.identity[5], table.modality[5]]
    assert said == list(map(str, facts))
    want = decode.read_image(table.paths[5], SIZE, "regdb")
    np.testing.assert_array_equal(np.load(file), want)


def test_the_manifest_digests_files_and_shards(world, prepared_world):
    root = prepared_world["vcm"]
    manifest = json.loads((root / prepared.MANIFEST).read_text())
    assert manifest["order"]["root"] == str(world["vcm"])
    assert {shard["chain"] for shard in manifest["shards"]} == {
        "vcm",
        "bilinear",
        "lanczos",
    }
    for shard in manifest["shards"]:
        assert shard["sha256"] == shards.digest(root / shard["file"])
        for path, digest in shard["images"].items():
            assert digest == shards.digest(world["vcm"] / path)
    for path, digest in manifest["index_files"].items():
        assert digest == shards.digest(world["vcm"] / path)
    assert "info/query_IDX.txt" in manifest["index_files"]
    assert not (root / shards.JOURNAL).exists()


KILLED = """
import os, signal, sys
from ckda_jax.data import prepare, shards

def die(done, total):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

shards.IMAGES = 50
order = prepare.Order(dataset="regdb", root=sys.argv[1], size=(32, 16))
prepare.prepare(order, sys.argv[2], threads=2, progress=die)
"""


def test_killed_it_goes_on_with_the_first_shard_that_is_not_whole(
    world, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "IMAGES", 50)
    root, out = world["regdb"], tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(root), str(out), "120"]
    assert subprocess.run(command).returncode == -9
    folder = out / "regdb" / "1.0.0"
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("regdb-*")}
    assert len(before) == 2
    with pytest.raises(InputError, match="RegDB: .* lacks Visible"):
        catalog.load("regdb", out)
    counts = []
    prepare.prepare(order_of(root), out, progress=lambda *count: counts.append(count))
    total = counts[-1][1]
    first = sum(len(s.table) for s in planned(root)[:2])
    assert counts == [(done, total) for done in range(first + 1, total + 1)]
    for name, time in before.items():
        assert (folder / name).stat().st_mtime_ns == time
    prepare.prepare(order_of(root), tmp_path / "unbroken")
    assert contents(out) == contents(tmp_path / "unbroken")


def planned(root: Path) -> list[shards.Shard]:
    order = order_of(root)
    return shards.plan("regdb", str(root), prepare.images(order), SIZE)


def contents(folder: Path) -> dict[str, str]:
    """Digest every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): shards.digest(path) for path in files}


def test_a_second_time_there_is_nothing_to_do(world, prepared_world):
    before = contents(prepared_world["llcm"])
    order = order_of(world["llcm"], dataset="llcm", resample="reference")
    counts = []
    done = prepare.prepare(
        order, prepared_world["llcm"], progress=lambda *count: counts.append(count)
    )
    assert counts == []
    assert contents(prepared_world["llcm"]) == before
    assert done.describe().endswith(f"MB, in {prepared_world['llcm']}")


@pytest.fixture
def root(world, tmp_path) -> Path:
    """Copy RegDB, to be spoilt."""
    return shutil.copytree(world["regdb"], tmp_path / "RegDB")


def images_in(root: Path, split: str) -> list[Path]:
    """List the images of an index file of RegDB."""
    lines = (root / "idx" / f"{split}_1.txt").read_text().splitlines()
    return [root / line.split()[0] for line in lines]


def test_other_orders_for_the_same_folder_are_refused(world, prepared_world, root):
    out = prepared_world["regdb"]
    good = order_of(world["regdb"], resample="reference")
    for changes, said in (
        ({"size": (16, 16)}, r"size \[32, 16\], not \[16, 16\]"),
        ({"resample": "direct"}, "resample reference, not direct"),
        ({"root": str(root)}, f"root {world['regdb']}, not {root}"),
        ({"dataset": "llcm", "root": str(world["llcm"])}, "dataset regdb, not llcm"),
    ):
        changed = dataclasses.replace(good, **changes)
        with pytest.raises(InputError, match=f"something else .*{said}") as caught:
            prepare.prepare(changed, out)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="is prepared already"):
        prepare.prepare(order_of(out), root / "out")
    with pytest.raises(InputError, match="holds other files"):
        prepare.prepare(good, root)
    assert not (root / prepare.LOCK).exists()


def test_a_folder_that_cannot_be_written_is_refused(world, tmp_path):
    order = order_of(world["regdb"])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file cannot be written"):
        prepare.prepare(order, tmp_path / "file")
    with (
        runs.small_files_only(50_000),
        pytest.raises(InputError, match="cannot be written .*File too large"),
    ):
        prepare.prepare(order, tmp_path / "full")
    assert prepared.at(tmp_path / "full") is None
    assert prepare.prepare(order, tmp_path / "full").size == SIZE


def test_more_than_fits_is_refused_before_anything_is_decoded(world, tmp_path):
    order = order_of(world["regdb"], size=(2**22, 2**22))
    with pytest.raises(InputError, match="GB free, but .* GB are to be written"):
        prepare.prepare(order, tmp_path / "out")


def test_images_that_cannot_be_used_are_named_until_they_are_repaired(root, tmp_path):
    first, second = images_in(root, "train_visible")[:2]
    whole = first.read_bytes()
    first.write_bytes(whole[:100])
    os.truncate(second, 0)
    out = tmp_path / "out"
    with pytest.raises(InputError, match="2 of 200 images") as caught:
        prepare.prepare(order_of(root), out)
    assert f"{first}: " in str(caught.value) and f"{second}: " in str(caught.value)
    assert prepared.at(out) is None
    with pytest.raises(InputError, match="--bad-images skip puts up with 1%") as few:
        os.truncate(images_in(root, "train_visible")[2], 0)
        prepare.prepare(order_of(root), out, bad_images="skip")
    assert "\n" not in str(few.value)
    for path in images_in(root, "train_visible")[1:3]:
        path.write_bytes(whole)
    counts = []
    done = prepare.prepare(
        order_of(root),
        out,
        bad_images="skip",
        progress=lambda *count: counts.append(count),
    )
    assert "199 images of 32x16, 1 left out" in done.describe()
    problem = done.problem(f"{out}/{first.relative_to(root)}")
    assert (
        problem
        and "cannot be decoded" in problem
        and str(tmp_path / "RegDB") not in problem
    )
    with pytest.raises(InputError, match=f"1 of .*{first.name}: cannot be decoded"):
        decode.check_images(catalog.load("regdb", out).train)


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_data_of_ones_own_can_be_prepared(tmp_path, kind):
    root = layouts.paint(layouts.write_own(tmp_path / "site"))
    place, ready = root, tmp_path / "out"
    if kind == "table":
        rows = [
            f"{path},{path.parts[2]},{path.parts[1]},{path.parts[0]}"
            for path in sorted(p.relative_to(root) for p in root.rglob("*.jpg"))
        ]
        place, ready = root / "site.csv", tmp_path / "out" / "site.csv"
        layouts.write_lines(place, ["path,identity,modality,split", *rows])
    order = Order(
        dataset=kind, root=str(place), size=SIZE, modalities=layouts.MODALITIES
    )
    prepare.prepare(order, tmp_path / "out")
    options = Options(protocols=("all",), modalities=layouts.MODALITIES)
    mine, theirs = (catalog.load_own("site", p, options) for p in (place, ready))
    assert theirs.names == mine.names
    assert relative(theirs.train, tmp_path / "out") == relative(mine.train, root)
    assert list(theirs.protocols) == list(mine.protocols)
    chex.assert_trees_all_equal(evaluated(theirs), evaluated(mine))
