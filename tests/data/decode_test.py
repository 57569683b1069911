import numpy as np
import PIL
import pytest
from PIL import Image

from ckda_jax.data.decode import (
    CHAINS,
    allow_few,
    check_images,
    find_unusable,
    read_image,
    resize,
)
from ckda_jax.structs import InputError, Records


def table(paths) -> Records:
    """Make a table of images of which only the paths matter."""
    n = len(paths)
    return Records(
        paths=np.array([str(path) for path in paths]),
        identity=np.zeros(n, np.int64),
        modality=np.zeros(n, np.int8),
        camera=np.zeros(n, np.int32),
        tracklet=np.zeros(n, np.int32),
    )


def colours(height=30, width=20) -> np.ndarray:
    """Draw an image in which every pixel and channel differs from its neighbours."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("chain", "stored"),
    [
        ("lanczos", "lanczos_128x256"),
        ("bilinear", "direct_bilinear_128x256"),
        ("regdb", "then_bilinear_128x256"),
    ],
)
def test_read_image_equals_the_reference_transform(golden, tmp_path, chain, stored):
    values = golden("transforms")
    Image.fromarray(values["img"]).save(tmp_path / "image.png")
    got = read_image(tmp_path / "image.png", (256, 128), chain).astype(int)
    levels = 0 if PIL.__version__ == str(values["pillow_version"]) else 1
    assert np.abs(got - values[stored]).max() <= levels


def test_vcm_chain_stores_at_the_final_size_before_the_detour():
    image = Image.fromarray(colours(61, 47))
    stored = image.resize((16, 32), Image.Resampling.LANCZOS)
    enlarged = stored.resize((18, 36), Image.Resampling.LANCZOS)
    want = enlarged.resize((16, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize(image, (32, 16), "vcm"), want)


@pytest.mark.parametrize("chain", ["lanczos", "bilinear"])
def test_an_image_of_the_final_size_is_left_alone(tmp_path, chain):
    Image.fromarray(colours(32, 16)).save(tmp_path / "image.png")
    got = read_image(tmp_path / "image.png", (32, 16), chain)
    np.testing.assert_array_equal(got, colours(32, 16))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", "png"), ("P", "png"), ("RGBA", "png"), ("LA", "png"), ("CMYK", "jpg")],
)
def test_read_image_makes_rgb_of_other_modes(tmp_path, mode, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(np.full((30, 20, 3), 153, np.uint8)).convert(mode).save(path)
    got = read_image(path, (30, 20)).astype(int)
    assert got.shape == (30, 20, 3)
    assert np.abs(got - 153).max() <= 2


def test_palette_with_transparency_is_read_without_a_warning(tmp_path):
    image = Image.fromarray(np.full((30, 20), 1, np.uint8), mode="P")
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "image.png", transparency=b"\x00\x80")
    got = read_image(tmp_path / "image.png", (30, 20))
    np.testing.assert_array_equal(got, np.broadcast_to([10, 20, 30], (30, 20, 3)))


@pytest.mark.parametrize(("value", "want"), [(0, 0), (257 * 90, 90), (65535, 255)])
def test_sixteen_bits_are_scaled_linearly(tmp_path, value, want):
    Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / "image.png")
    assert (read_image(tmp_path / "image.png", (8, 8)) == want).all()


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    upright = np.zeros((32, 16, 3), np.uint8)
    upright[:16] = 255
    lying = Image.fromarray(np.rot90(upright))
    lying.save(tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", (32, 16)), upright)


def test_one_pixel_becomes_a_plain_image(tmp_path):
    Image.fromarray(np.full((1, 1, 3), 7, np.uint8)).save(tmp_path / "image.png")
    assert (read_image(tmp_path / "image.png", (32, 16), "regdb") == 7).all()


def damaged(folder, name: str):
    """Write an image file that cannot be read and return its path."""
    path = folder / f"{name}.jpg"
    Image.fromarray(colours(100, 50)).save(path)
    whole = path.read_bytes()
    contents = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "html": b"<html><body>404</body></html>",
        "header only": whole[:30],
        "cut png": b"\x89PNG\r\n\x1a\n" + b"\0" * 20,
    }
    path.write_bytes(contents[name])
    return path


def flip_a_byte(content: bytes) -> bytes:
    """Change one byte in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def cut_the_middle_out(content: bytes) -> bytes:
    """Leave a twentieth out, far from both ends."""
    return content[: len(content) // 2] + content[len(content) * 11 // 20 :]


def break_the_tables(content: bytes) -> bytes:
    """Let the Huffman tables of a JPEG claim more codes than there are."""
    place = content.index(b"\xff\xc4") + 5
    return content[:place] + b"\xff" * 16 + content[place + 16 :]


@pytest.mark.parametrize(
    ("spoil", "suffix"),
    [(flip_a_byte, "png"), (cut_the_middle_out, "png"), (break_the_tables, "jpg")],
)
def test_damage_between_whole_ends_is_found_before_training(tmp_path, spoil, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(colours(100, 50)).save(path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(path, (32, 16))
    with pytest.raises(InputError, match=r"1 of 1 images.*cannot be decoded"):
        check_images(table([path]), threads=2)


def test_a_folder_in_place_of_an_image_is_named_once(tmp_path):
    (tmp_path / "image.png").mkdir()
    with pytest.raises(InputError) as caught:
        check_images(table([tmp_path / "image.png"]))
    said = str(caught.value)
    assert f"{tmp_path}/image.png: cannot be decoded (Is a directory)" in said
    assert said.count("image.png") == 1


def test_check_images_tells_how_far_it_is(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(colours()).save(path)
    told = []
    check_images(table(paths), progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("truncated", "truncated"),
        ("empty", "empty"),
        ("html", "not an image"),
        ("header only", "cannot be decoded|not an image"),
        ("cut png", "cannot be decoded|not an image"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, name, cause):
    path = damaged(tmp_path, name)
    with pytest.raises(InputError, match=cause) as caught:
        read_image(path, (32, 16))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "replace the file" in str(caught.value)
    with pytest.raises(InputError, match=f"1 of 1 images.*({cause})"):
        check_images(table([path]))


def test_a_missing_file_and_an_unknown_chain_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.png", (32, 16))
    with pytest.raises(InputError, match="'regdb', 'vcm'"):
        read_image(tmp_path / "none.png", (32, 16), "cubic")


def test_thirty_two_bit_pixels_are_refused(tmp_path):
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "image.tiff")
    with pytest.raises(InputError, match=r"image\.tiff: pixels of 32 bits"):
        read_image(tmp_path / "image.tiff", (8, 8))


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr("ckda_jax.data.decode.LARGEST_PIXELS", 599)
    Image.fromarray(colours()).save(tmp_path / "image.png")
    with pytest.raises(InputError, match="20x30 is larger than 599 pixels"):
        read_image(tmp_path / "image.png", (32, 16))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_check_images_passes_what_training_can_use(tmp_path, suffix):
    paths = [tmp_path / f"{mode}.{suffix}" for mode in ("RGB", "L")]
    for path in paths:
        Image.fromarray(colours()).convert(path.stem).save(path)
    (tmp_path / "none.png").touch()
    with pytest.raises(InputError, match="1 of 3 images cannot be used: .*none.png"):
        check_images(table([*paths, tmp_path / "none.png"]))


def test_check_images_names_three_and_counts_the_rest(tmp_path):
    good, tiny, print_colours, deep = (tmp_path / f"{name}.tiff" for name in "abcd")
    Image.fromarray(colours()).save(good)
    Image.fromarray(colours(1, 1)).save(tiny)
    Image.fromarray(colours()).convert("CMYK").save(print_colours)
    Image.fromarray(np.zeros((30, 20), np.uint16)).save(deep)
    paths = [good, tiny, print_colours, deep, tmp_path / "none.png"]
    with pytest.raises(InputError) as caught:
        check_images(table(paths))
    message = str(caught.value)
    assert message.startswith("4 of 5 images cannot be used: ")
    assert "b.tiff: 1x1 pixels" in message
    assert "c.tiff: mode CMYK" in message
    assert "d.tiff: mode I;16" in message
    assert "none.png" not in message
    assert message.endswith("(and 1 more)")


def test_every_chain_ends_at_the_size_asked_for():
    image = Image.fromarray(colours())
    assert {name: resize(image, (24, 12), name).size for name in CHAINS} == {
        name: (12, 24) for name in CHAINS
    }


def test_unusable_images_are_found_by_path(tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(colours()).save(good)
    bad.touch()
    found = find_unusable(table([good, bad, good]), threads=2)
    assert list(found) == [str(bad)]
    assert found[str(bad)].startswith(f"{bad}: the file is empty")


def test_a_few_are_one_in_a_hundred():
    problems = {"/a": "/a: empty", "/b": "/b: empty"}
    allow_few(problems, 200, "--option")
    said = (
        "2 of 199 images cannot be used: /a: empty; /b: empty; --option puts up with 1%"
    )
    with pytest.raises(InputError, match=said):
        allow_few(problems, 199, "--option")
