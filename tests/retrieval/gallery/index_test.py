"""The index: what it says comes back, and what it cannot say is refused."""

import json

import pytest

from ckda_jax.retrieval.gallery import index
from ckda_jax.retrieval.gallery.blocks import TABLE, VECTORS
from ckda_jax.retrieval.gallery.index import Index
from ckda_jax.structs import InputError
from tests import galleries

EMPTY = Index(model=galleries.MADE_BY, width=4, dtype="float16")


def test_an_index_comes_back(tmp_path):
    index.write(tmp_path, EMPTY)
    assert index.read(tmp_path) == EMPTY
    galleries.fill(tmp_path / "filled", 3)
    found = index.read(tmp_path / "filled")
    assert [block.rows for block in found.blocks] == [3]
    assert found.next_name == 2


def test_a_folder_without_a_gallery_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no gallery .*embed --out"):
        index.read(tmp_path)


LISTED = {"name": "000001", "rows": 1, "digest": {}} | {"size": [VECTORS, TABLE]}
"""A block whose sizes are no table."""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2 is not 1"),
        ({"dtype": "object"}, "cosine of object is unknown"),
        ({"similarity": "euclid"}, "euclid of float16 is unknown"),
        ({"width": "4"}, "must be whole numbers"),
        ({"model": {}}, "digest"),
        ({"model": {"digest": "0", "workdir": 3, "stage": 1}}, "must be text"),
        ({"model": {"digest": "0", "workdir": "", "stage": ""}}, "whole numbers"),
        ({"blocks": [{"name": "../x"}]}, "missing"),
        ({"blocks": 3}, "must be a list"),
        ({"blocks": {}}, "must be a list"),
        ({"blocks": [LISTED]}, "cannot be read"),
    ],
)
def test_other_content_is_refused_with_a_remedy(tmp_path, change, said):
    index.write(tmp_path, EMPTY)
    path = tmp_path / index.INDEX
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError) as error:
        index.read(tmp_path)
    assert said in str(error.value)
    assert f"--images '{tmp_path}/blocks/*.parquet'" in str(error.value) or (
        f"--images {tmp_path}/blocks" in str(error.value)
    )


def test_a_name_that_would_be_used_twice_is_refused(tmp_path):
    galleries.fill(tmp_path, 3)
    path = tmp_path / index.INDEX
    path.write_text(path.read_text().replace('"next_name": 2', '"next_name": 1'))
    with pytest.raises(InputError, match="of a block which is there already"):
        index.read(tmp_path)


def test_a_block_that_stands_in_it_twice_is_refused(tmp_path):
    galleries.fill(tmp_path, 3)
    path = tmp_path / index.INDEX
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"blocks": values["blocks"] * 2}))
    with pytest.raises(InputError, match="stands in it twice"):
        index.read(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_what_is_no_index_is_refused_in_one_line(tmp_path, content):
    (tmp_path / index.INDEX).write_text(content)
    with pytest.raises(InputError, match="gallery.json: cannot be read") as error:
        index.read(tmp_path)
    assert "\n" not in str(error.value)


def test_a_remedy_is_added_to_what_is_damaged(tmp_path):
    with pytest.raises(InputError) as error:
        with index.with_remedy(tmp_path, galleries.MADE_BY):
            raise InputError("block is gone")
    assert str(error.value).startswith(
        "block is gone; the gallery is damaged: rebuild it with `python -m "
        "ckda_jax.embed --workdir runs/site --stage 2 --images"
    )
