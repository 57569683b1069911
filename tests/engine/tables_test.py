"""The tables of `data.json`: what one flipped character in it does."""

import json

import pytest

from ckda_jax.engine import tables
from ckda_jax.structs import InputError

TABLE = {"identities": 6, "images": 48, "digest": "2770"}
FOUND = {
    name: TABLE for name in ("stage 1, a", "a lifelong query", "a lifelong gallery")
}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_tables_are_read_as_they_were_written(tmp_path):
    path = write(tmp_path / "data.json", FOUND)
    assert tables.read(path, FOUND) == FOUND
    assert tables.read(path, {"a all-single query": TABLE, **FOUND}) == FOUND
    assert tables.difference(FOUND, FOUND) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"images"', '"imagds"', "'stage 1, a' must have identities, images, digest"),
        ('"2770"', "2770", "digest of 'stage 1, a' is not str"),
        ("6", "6.5", "identities of 'stage 1, a' is not int"),
        (json.dumps(TABLE), "null", "'stage 1, a' must have identities"),
        ("stage 1, a", "stage 1, b", "no table 'stage 1, a'"),
        ("stage 1, a", "stagd 1, a", "no table 'stage 1, a'"),
        ("a lifelong query", "a lifelonf query", "unknown table 'a lifelonf query'"),
        ("lifelong gallery", "lifelong galleri", "unknown table"),
    ],
)
def test_a_damaged_name_or_value_is_refused(tmp_path, old, new, said):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(FOUND).replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        tables.read(path, FOUND)


@pytest.mark.parametrize("content", [b"[]", b"null", b"[" * 100_000, b'"\xf3"'])
def test_what_is_no_tree_is_refused(tmp_path, content):
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="data.json: cannot be read"):
        tables.read(path, FOUND)


def test_a_difference_is_told_in_numbers():
    more, other = {**TABLE, "images": 49}, {**TABLE, "digest": "1"}
    assert tables.difference({"x": TABLE, "y": TABLE}, {"x": more, "y": other}) == [
        "x: 6 identities, 48 images -> 6 identities, 49 images",
        "y: as many as before (6 identities, 48 images), but other files or labels",
    ]
