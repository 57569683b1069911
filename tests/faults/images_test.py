"""Images that are not what they should be: refused by name, or replaced and counted."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import chex
import numpy as np
import pytest
from PIL import Image

from ckda_jax.build import data
from ckda_jax.data.decode import read_image
from ckda_jax.structs import InputError
from tests import runs


def truncated(path: Path) -> None:
    """Keep the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Keep nothing."""
    path.write_bytes(b"")


def html(path: Path) -> None:
    """Save what a server says instead of the image."""
    path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")


def sixteen_bit(path: Path) -> None:
    """Save as a thermal camera might."""
    values = np.arange(32 * 64, dtype=np.uint16).reshape(64, 32)
    Image.fromarray(values).save(path, format="PNG")


def cmyk(path: Path) -> None:
    """Save as for a printer."""
    Image.new("CMYK", (32, 64)).save(path, format="JPEG")


def one_pixel(path: Path) -> None:
    """Leave one pixel."""
    Image.new("RGB", (1, 1)).save(path)


def bomb(path: Path) -> None:
    """Promise 20,000 x 20,000 pixels in a hundred bytes."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def grey(path: Path) -> None:
    """Save with one channel."""
    with Image.open(path) as image:
        image.convert("L").save(path)


def wrong_extension(path: Path) -> None:
    """Save as PNG under the old name."""
    with Image.open(path) as image:
        image.load()
        image.save(path, format="PNG")


BAD = (truncated, empty, html, sixteen_bit, cmyk, one_pixel, bomb)


@pytest.fixture
def root(world, tmp_path) -> Path:
    """Copy RegDB, to be spoilt."""
    return shutil.copytree(world["regdb"], tmp_path / "RegDB")


def image(root: Path, number: int) -> Path:
    """Name a visible training image of RegDB."""
    lines = (root / "idx" / "train_visible_1.txt").read_text().splitlines()
    return root / lines[number].split()[0]


def batches(root: Path, notes: list[str] | None = None, **changes) -> list:
    """Check the images and read the batches of a tiny run on RegDB."""
    roots = {"regdb": root}
    keys = {"stages": "regdb", "train__identities": 6, "train__images": 8} | changes
    config = runs.configuration(roots, **keys)
    note = None if notes is None else notes.append
    loaded = data.datasets(config, {"regdb": str(root)})
    data.check_images(config, loaded, note=note)
    (stage,) = data.stages(config, loaded)
    with data.stream(config, stage, note=note) as stream:
        return list(stream)


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_bad_image_is_named_or_replaced(root, spoil: Callable[[Path], None]):
    whole = batches(root)
    spoil(image(root, 3))
    with pytest.raises(InputError, match=str(image(root, 3))) as caught:
        batches(root)
    assert "\n" not in str(caught.value)
    notes: list[str] = []
    got = batches(root, notes, data__bad_images="skip")
    chex.assert_trees_all_equal(
        got, batches(root, data__bad_images="skip", data__threads=3, data__cache=0.0)
    )
    assert all(str(image(root, 3)) in note for note in notes)
    assert "1 of 120 training images" in notes[0] and "(1 of 120" in notes[1]
    assert len(notes) == 2
    same = [np.array_equal(a.images, b.images) for a, b in zip(got, whole, strict=True)]
    assert not all(same)


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_above_one_in_a_hundred_a_run_does_not_start(root, spoil):
    for number in (3, 14):
        spoil(image(root, number))
    with pytest.raises(InputError, match="2 of 120 .* puts up with 1%") as caught:
        batches(root, data__bad_images="skip")
    assert str(image(root, 14)) in str(caught.value)


@pytest.mark.parametrize("spoil", [grey, wrong_extension])
def test_unusual_images_that_can_be_used_are(root, spoil):
    spoil(image(root, 3))
    shown = read_image(image(root, 3), (32, 16))
    notes: list[str] = []
    found = [
        images
        for batch in batches(root, notes, data__bad_images="skip")
        for images in batch.images[batch.example == 3]
    ]
    assert notes == []
    assert len(found) > 0
    chex.assert_trees_all_equal(found, [shown] * len(found))
