import dataclasses

import pytest

from ckda_jax.data.layout import (
    Layout,
    absent_images,
    draw,
    list_folders,
    list_images,
    missing_entries,
    name_some,
    open_root,
    require_images,
)
from ckda_jax.structs import InputError
from tests.data.layouts import touch

TOY = Layout(
    title="Toy",
    key="toy",
    entries=("vis/", "nir/", "idx/", "idx/train.txt", "idx/test.txt"),
)


def write(root):
    for path in ("vis/1/a.jpg", "nir/1/a.jpg", "idx/train.txt", "idx/test.txt"):
        touch(root / path)
    return root


def message(root):
    with pytest.raises(InputError) as error:
        open_root(root, TOY)
    return str(error.value)


def test_opens_a_complete_root(tmp_path, monkeypatch):
    root = write(tmp_path / "Toy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (root, str(root), "Toy", "./x/../Toy/", "~/Toy"):
        assert open_root(given, TOY) == root


def test_draws_the_expected_tree_beside_what_was_found(tmp_path):
    root = write(tmp_path / "Toy")
    (root / "idx" / "test.txt").unlink()
    (root / "vis").rename(root / "Vis")
    touch(root / "notes.txt")
    assert draw(root, TOY).splitlines() == [
        f"expected (Toy)    found in {root}",
        "  vis/              -",
        "  nir/              nir/",
        "  idx/              idx/",
        "    train.txt         train.txt",
        "    test.txt          -",
        "                    Vis/",
        "                    notes.txt",
    ]
    first = message(root).splitlines()[0]
    assert first == (
        f"Toy: {root} lacks vis/, idx/test.txt; point config.data.roots.toy at the"
        " dataset, or unpack what is missing"
    )


def test_a_file_in_a_folders_place_is_missing(tmp_path):
    root = write(tmp_path / "Toy")
    (root / "idx" / "test.txt").unlink()
    (root / "idx" / "test.txt").mkdir()
    assert "lacks idx/test.txt;" in message(root)


def test_names_the_neighbour_that_fits_better(tmp_path):
    root = write(tmp_path / "a" / "Toy")
    fits = f"set config.data.roots.toy={root}"
    assert f"one level below: {fits}" in message(tmp_path / "a")
    assert f"one level above: {fits}" in message(root / "idx")
    assert f"one level above: {fits}" in message(root / "absent")
    assert "one level" not in message(tmp_path)


def test_list_images_sorts_and_leaves_out_other_files(tmp_path):
    for name in ("b.jpg", "a.JPG", "c.bmp", "Thumbs.db", "labels.npy"):
        touch(tmp_path / name)
    assert list_images(tmp_path) == ["a.JPG", "b.jpg", "c.bmp"]
    assert list_images(tmp_path / "absent") == []


def test_hidden_files_and_folders_are_not_listed(tmp_path):
    for name in ("._b.jpg", ".hidden/c.jpg", "a/d.jpg", "b.jpg"):
        touch(tmp_path / name)
    assert list_images(tmp_path) == ["b.jpg"]
    assert list_folders(tmp_path) == ["a"]
    assert list_folders(tmp_path / "absent") == list_folders(tmp_path / "b.jpg") == []


def test_require_images_counts_each_absent_image_once(tmp_path):
    root = write(tmp_path)
    require_images(root, TOY, ["vis/1/a.jpg", "nir/1/a.jpg"])
    absent = [f"vis/{n}/a.jpg" for n in (2, 3, 2, 4, 5)]
    with pytest.raises(InputError) as error:
        require_images(root, TOY, ["vis/1/a.jpg", *absent])
    assert "Toy: 4 of 5 images named" in str(error.value)
    assert ": vis/2/a.jpg, vis/3/a.jpg, vis/4/a.jpg and 1 more;" in str(error.value)


def test_name_some():
    assert name_some([1]) == "1"
    assert name_some(["a", "b", "c"]) == "a, b, c"
    assert name_some([1, 2, 3, 4]) == "1, 2, 3 and 1 more"


def test_lists_folders_in_order(tmp_path):
    root = write(tmp_path / "Toy")
    assert list_folders(root) == ["idx", "nir", "vis"]
    assert list_folders(root / "idx") == list_folders(root / "none") == []


def test_lists_absent_images_of_absent_folders_too(tmp_path):
    write(tmp_path)
    paths = ["vis/1/a.jpg", "vis/1/A.jpg", "vis/2/a.jpg", "nir/1/a.jpg"]
    assert absent_images(tmp_path, paths) == ["vis/1/A.jpg", "vis/2/a.jpg"]
    assert absent_images(tmp_path, [f"{tmp_path}/vis/1/a.jpg"]) == []


def test_lists_suffice_without_images(tmp_path):
    lists = ("idx/", "idx/train.txt")
    for entry in ("idx/train.txt",):
        touch(tmp_path / entry)
    layout = dataclasses.replace(TOY, lists=lists)
    assert open_root(tmp_path, layout.without_images()) == tmp_path
    with pytest.raises(InputError, match="lacks vis/.*; point --root at the dataset"):
        open_root(tmp_path, layout, "--root")
    assert missing_entries(tmp_path, layout) == ["vis/", "nir/", "idx/test.txt"]
