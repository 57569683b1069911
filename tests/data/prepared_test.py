import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ckda_jax.data import catalog, decode, prepared
from ckda_jax.data.images import Loading
from ckda_jax.data.pipeline import images_of
from ckda_jax.structs import InputError

SIZE = (32, 16)


@pytest.fixture
def copy(prepared_world, tmp_path) -> Path:
    """Copy a prepared SYSU-MM01, to be spoilt."""
    return shutil.copytree(prepared_world["sysu"], tmp_path / "sysu")


def shard_of(root: Path) -> Path:
    (file,) = (root / "sysu" / "1.0.0").glob("sysu-*")
    return file


def first_path(root: Path) -> str:
    return str(catalog.load("sysu", root).train.paths[0])


def test_a_root_is_found_from_any_path_below_it(prepared_world, world, tmp_path):
    root = prepared_world["sysu"]
    found = prepared.at(root)
    assert found is not None and found.size == SIZE
    assert prepared.above(root) is found
    assert prepared.above(root / "cam1" / "0001" / "0001.jpg") is found
    assert prepared.above(root.parent) is None
    assert prepared.at(root / "cam1") is None
    paths = [f"{root}/cam1/0001/0001.jpg", str(tmp_path), f"{root}/cam2/a"]
    assert prepared.group(paths) == [found, None, found]


def test_folders_list_as_they_lay_on_disk(prepared_world, world):
    found = prepared.at(prepared_world["vcm"])
    assert found is not None
    assert found.folders(found.root) == ["Test", "Train"]
    for part in ("Test", "Test/0503", "Test/0503/rgb"):
        lay = sorted(path.name for path in (world["vcm"] / part).iterdir())
        assert found.folders(f"{found.root}/{part}") == lay
    folder = f"Test/0503/rgb/{lay[0]}"
    assert found.folders(f"{found.root}/{folder}") == []
    lay = sorted(path.name for path in (world["vcm"] / folder).iterdir())
    assert found.names(f"{found.root}/{folder}") == lay
    assert found.names(f"{found.root}/Test") == found.names(found.root) == []
    assert found.has_folder(f"{found.root}/Test/0503")
    assert not found.has_folder(f"{found.root}/Test/0001")


def test_what_was_not_prepared_is_refused_with_the_command(prepared_world, world):
    root = prepared_world["vcm"]
    found = prepared.at(root)
    assert found is not None
    train = catalog.load("vcm", root).train.paths.tolist()
    found.require(train, SIZE, "vcm")
    command = f"prepare vcm --root {world['vcm']} --out OTHER --size"
    for size, chain, said in (
        ((64, 32), "vcm", "32x16 by bilinear, lanczos, vcm, but 64x32 by vcm"),
        (SIZE, "regdb", "but 32x16 by regdb is asked for"),
        (SIZE, "bilinear", f"{len(train)} of the images asked for were not prepared"),
    ):
        with pytest.raises(InputError) as caught:
            found.require(train, size, chain)
        assert said in str(caught.value)
        assert f"{command} {size[0]} {size[1]} --resample" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_picture_is_an_image_in_any_chain(prepared_world, world):
    (protocol,) = catalog.load("vcm", world["vcm"]).protocols.values()
    path = protocol.query.paths[0]
    beside = path.replace(str(world["vcm"]), str(prepared_world["vcm"]))
    got = prepared.picture(beside)
    assert got is not None
    np.testing.assert_array_equal(got, decode.read_image(path, SIZE, "bilinear"))
    assert prepared.picture(path) is None
    assert prepared.picture(prepared_world["vcm"] / "Train" / "none.jpg") is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.unlink(), "is gone, not"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "bytes long, not"),
    ],
)
def test_a_shard_of_another_size_is_refused_before_it_is_read(copy, spoil, said):
    spoil(shard_of(copy))
    table = catalog.load("sysu", copy).train
    with pytest.raises(InputError, match=said):
        next(images_of(table, SIZE, "lanczos", 2, 0))


def test_a_flipped_bit_is_found_when_its_image_is_read(copy):
    path, file = first_path(copy), shard_of(copy)
    content = bytearray(file.read_bytes())
    found = prepared.at(copy)
    assert found is not None
    pixels = found.image(path, "lanczos").tobytes()
    content[content.index(pixels) + 100] ^= 4
    file.write_bytes(content)
    shutil.copytree(copy, copy.with_name("flipped"))
    flipped = prepared.at(copy.with_name("flipped"))
    assert flipped is not None
    path = path.replace(str(copy), flipped.root)
    with pytest.raises(InputError, match=f"{path}: its record in .*sysu-lanczos"):
        flipped.image(path, "lanczos")


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1}'])
def test_a_manifest_that_cannot_be_read_is_named(copy, content):
    (copy / prepared.MANIFEST).write_text(content)
    with pytest.raises(InputError, match="prepared.json is no manifest") as caught:
        catalog.load("sysu", copy)
    assert "\n" not in str(caught.value)


def test_a_changed_manifest_is_read_again(copy):
    path = first_path(copy)
    manifest = json.loads((copy / prepared.MANIFEST).read_text())
    manifest["unusable"] = {"cam1/0001/x.jpg": "the file is empty"}
    (copy / prepared.MANIFEST).write_text(json.dumps(manifest))
    found = prepared.at(copy)
    assert found is not None
    assert found.problem(path) is None
    gone = f"{copy}/cam1/0001/x.jpg"
    assert found.problem(gone) == f"{gone}: the file is empty"
    with pytest.raises(InputError, match="x.jpg: the file is empty"):
        found.image(gone, "lanczos")


def test_the_chain_of_a_stream_must_have_been_prepared(prepared_world):
    table = catalog.load("sysu", prepared_world["sysu"]).train
    loading = Loading(size=SIZE, chain="vcm")
    with pytest.raises(InputError, match="by lanczos, but 32x16 by vcm"):
        next(images_of(table, loading.size, loading.chain, 2, 0))
