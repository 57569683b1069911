import re

import pytest

from ckda_jax.data.synthetic.layout import Size
from ckda_jax.data.synthetic.llcm import layout

SIZE = Size(identities=8, test_identities=4, images=5)
PLAN = layout(SIZE, seed=0)
NAME = re.compile(
    r"(vis|nir)/(\d{4})/(\d{4})_c(0\d)_s\d{6}_f\d{2,5}_(vis|nir)\.jpg (\d+)\n"
)


def lines(part, word):
    text = PLAN.texts[f"idx/{part}_{word}.txt"]
    return [NAME.fullmatch(line) for line in text.splitlines(keepends=True)]


@pytest.mark.parametrize(("part", "people"), [("train", 8), ("test", 4)])
def test_lists(part, people):
    labels = {}
    for word in ("vis", "nir"):
        found = lines(part, word)
        assert len(found) == people * 5
        for match in found:
            assert match
            assert match[1] == match[5] == word
            assert match[2] == match[3]
            assert (int(match[2]) % 3 == 0) == (part == "test")
            assert labels.setdefault(match[2], int(match[6])) == int(match[6])
            assert (word, match[4]) != ("nir", "03")
        order = [int(match[6]) for match in found if match]
        assert order == sorted(order)
    assert sorted(labels.values()) == list(range(people))


def test_test_people_are_listed_in_label_order_without_a_line_end():
    order = list(dict.fromkeys(m[2] for m in lines("test", "vis") if m))
    assert PLAN.texts["idx/test_id.txt"] == ",".join(order)
    assert "0000" in order


def test_copies_are_sorted_by_camera():
    assert len(PLAN.copies) == 4 * 5 * 2
    for path, source in PLAN.copies.items():
        match = re.fullmatch(r"test_(vis|nir)/cam(\d)/(\d{4})/(.+)", path)
        assert match
        assert source == f"{match[1]}/{match[3]}/{match[4]}"
        assert f"_c0{match[2]}_" in source


def test_somebody_is_seen_by_one_camera_in_both_modalities():
    for part in ("train", "test"):
        seen = [{(m[2], m[4]) for m in lines(part, w) if m} for w in ("vis", "nir")]
        assert seen[0] & seen[1]
