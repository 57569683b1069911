"""Images become small data URIs and stay what they were."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ckda_jax.data import catalog, prepared
from ckda_jax.reporting import thumbnails


def decode(uri):
    head, body = uri.split(",", 1)
    assert head in ("data:image/jpeg;base64", "data:image/png;base64")
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA"])
def test_photo_keeps_shape_within_the_size(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (200, 100)).save(path)
    uri = thumbnails.photo(path)
    assert uri is not None
    assert decode(uri).size == (80, 40)


def test_photo_keeps_colours(tmp_path):
    Image.new("RGB", (64, 128), (200, 40, 90)).save(tmp_path / "a.png")
    uri = thumbnails.photo(tmp_path / "a.png")
    assert uri is not None
    image = decode(uri)
    assert image.size == (64, 128)
    np.testing.assert_allclose(np.asarray(image)[60, 30], (200, 40, 90), atol=4)


def test_unreadable_photo_is_none(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    (tmp_path / "b.jpg").write_bytes(b"")
    for name in ("a.jpg", "b.jpg", "absent.jpg", "."):
        assert thumbnails.photo(tmp_path / name) is None


def test_picture_embeds_an_array():
    image = decode(thumbnails.picture(np.full((128, 64, 3), 77, np.uint8)))
    assert image.size == (64, 128)
    np.testing.assert_allclose(np.asarray(image)[5, 5], 77, atol=2)


def test_heat_map_runs_from_dark_to_light():
    values = np.array([[0.0, 0.5, 1.0, 2.0]])
    image = decode(thumbnails.heat_map(values, top=1.0)).convert("RGB")
    found = [image.getpixel((x, 0)) for x in range(4)]
    palette = [tuple(colour) for colour in thumbnails.palette().tolist()]
    assert found == [palette[0], palette[32], palette[63], palette[63]]


def test_heat_map_of_nothing_is_dark():
    for values in (np.zeros((4, 2)), np.full((4, 2), np.nan)):
        image = decode(thumbnails.heat_map(values, top=0.0)).convert("RGB")
        assert image.getpixel((0, 0)) == tuple(thumbnails.palette()[0].tolist())


def test_gradient_names_the_first_colours():
    r, g, b = thumbnails.palette()[0]
    assert thumbnails.gradient().startswith(
        f"linear-gradient(to right, rgb({r} {g} {b}"
    )


def test_photo_of_a_prepared_image(prepared_world):
    path = catalog.load("sysu", prepared_world["sysu"]).train.paths[0]
    pixels = prepared.picture(path)
    assert pixels is not None
    assert thumbnails.photo(path) == thumbnails.picture(pixels)
    assert thumbnails.photo(f"{path}.none") is None
