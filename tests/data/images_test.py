import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ckda_jax.data.decode import read_image
from ckda_jax.data.images import ImageTable, Loading, Replacements, Substitutes
from ckda_jax.structs import InputError, Records

SIZE = (8, 4)
LABELS = np.array([5, 6, 5, 5, 5])
MODALITY = np.array([0, 0, 0, 1, 0])
TWINS = Substitutes(LABELS, MODALITY)


@pytest.fixture
def paths(tmp_path) -> np.ndarray:
    """Write five images of one grey each."""
    for index in range(5):
        Image.new("RGB", (4, 8), (index,) * 3).save(tmp_path / f"{index}.png")
    return np.array([str(tmp_path / f"{index}.png") for index in range(5)])


def greys(table: ImageTable) -> list[int]:
    return [int(table[row][0, 0, 0]) for row in range(5)]


@pytest.mark.parametrize(
    ("row", "rows"), [(0, [2, 4]), (2, [4, 0]), (4, [0, 2]), (1, []), (3, [])]
)
def test_substitutes_are_the_next_of_the_same_identity_and_modality(row, rows):
    assert TWINS[row].tolist() == rows


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
def test_a_bad_image_is_replaced_by_the_next_good_one(paths, cache_bytes):
    table = ImageTable(paths, Loading(size=SIZE, cache_bytes=cache_bytes), TWINS)
    table = pickle.loads(pickle.dumps(table))
    os.truncate(paths[2], 0)
    for _ in range(2):
        assert greys(table) == [0, 1, 4, 3, 4]
        assert [table.show(row)[1] for row in range(5)] == [0, 1, 4, 3, 4]
    os.unlink(paths[4])
    table = ImageTable(paths, Loading(size=SIZE), TWINS)
    assert greys(table) == [0, 1, 0, 3, 0]


def test_what_a_check_would_find_is_replaced(paths):
    Image.new("CMYK", (4, 8)).save(paths[0], "JPEG")
    assert greys(ImageTable(paths, Loading(size=SIZE), TWINS))[0] == 2
    assert read_image(paths[0], SIZE).shape == (8, 4, 3)
    with pytest.raises(InputError, match="mode CMYK"):
        read_image(paths[0], SIZE, strict=True)


def test_without_any_good_image_it_is_an_error(paths):
    os.truncate(paths[1], 0)
    table = ImageTable(paths, Loading(size=SIZE), TWINS)
    with pytest.raises(InputError, match="1.png cannot be used, nor can any other"):
        table.show(1)


def test_without_substitutes_it_is_an_error(paths):
    os.truncate(paths[1], 0)
    with pytest.raises(InputError, match="1.png: the file is empty"):
        ImageTable(paths, Loading(size=SIZE)).show(1)


def test_an_image_that_vanishes_was_there(paths):
    table = ImageTable(paths, Loading(size=SIZE))
    Path(paths[3]).unlink()
    with pytest.raises(InputError) as caught:
        table.show(3)
    assert str(caught.value) == (
        f"{paths[3]}: was there when the images were listed and is gone now; restore it"
    )


def test_replacements_are_counted_and_told_once():
    told = []
    paths = np.array([f"/{index}" for index in range(200)])
    counted = Replacements(paths, told.append)
    asked = np.array([[3, 4], [5, 6]])
    counted.count(asked, asked)
    assert len(counted) == 0
    counted.count(asked, np.array([[3, 7], [5, 6]]))
    counted.count(asked, np.array([[3, 7], [5, 6]]))
    assert len(counted) == 1
    assert told == ["/4 cannot be used; /7 takes its place (1 of 200 images so far)"]
    counted.count(asked, np.array([[8, 7], [5, 6]]))
    assert len(told) == 2
    with pytest.raises(InputError, match="/6 .*: 3 of 200 images so far, more than 1%"):
        counted.count(asked, np.array([[8, 7], [5, 9]]))


def test_rows_of_bad_images_give_way_to_substitutes(paths):
    table = Records(
        paths=paths,
        identity=LABELS,
        modality=MODALITY.astype(np.int8),
        camera=np.zeros(5, np.int32),
        tracklet=np.zeros(5, np.int32),
    )
    os.truncate(paths[2], 0)
    assert TWINS.put(np.array([3, 2, 0]), table).tolist() == [3, 4, 0]
    os.truncate(paths[4], 0)
    assert TWINS.put(np.array([2, 4]), table, threads=2).tolist() == [0, 0]
    os.truncate(paths[1], 0)
    with pytest.raises(InputError, match="1.png cannot be used, nor can any other"):
        TWINS.put(np.array([1]), table)
