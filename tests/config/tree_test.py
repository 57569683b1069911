"""The tree as JSON and back, and what two trees differ in."""

import pytest

from ckda_jax.config.file import load
from ckda_jax.config.tree import difference, flatten, from_json, show, to_json
from ckda_jax.structs import InputError


def test_json_round_trip_is_exact_and_locked(folder, tmp_path):
    config = load(f"{folder}/small.py")
    config.optim.lr = 0.1 + 0.2
    (tmp_path / "config.json").write_text(to_json(config))
    back = from_json(tmp_path / "config.json")
    assert flatten(back) == flatten(config)
    assert back.is_locked
    assert to_json(back) == to_json(config)
    assert difference(config, back) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "is its folder that of a run"), ("{", "not JSON"), ("[]", "holds list")],
)
def test_unusable_json_is_refused(tmp_path, text, said):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said):
        from_json(path)


def test_difference_names_changed_new_and_lost_keys():
    old = {"a": 1, "b": {"c": (1, 2), "d": True}}
    new = {"a": 1, "b": {"c": [1, 3], "e": "x"}}
    assert difference(old, new) == [
        "b.c: 1,2 -> 1,3",
        "b.d: true -> (absent)",
        "b.e: (absent) -> x",
    ]
    assert difference(old, {"a": 1, "b": {"c": [1, 2], "d": True}}) == []


def test_difference_sees_the_type():
    assert difference({"a": 1}, {"a": 1.0}) == ["a: 1 -> 1.0"]


def test_show_writes_what_the_command_line_takes():
    assert [show(v) for v in (True, (1, 2), "x", 3e-4)] == [
        "true",
        "1,2",
        "x",
        "0.0003",
    ]
