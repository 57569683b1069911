import re
from collections import Counter

from ckda_jax.data.synthetic.layout import Size
from ckda_jax.data.synthetic.sysu import layout

SIZE = Size(identities=12, test_identities=5, images=6, shots=10)
PLAN = layout(SIZE, seed=0)


def ids(part):
    text = PLAN.texts[f"exp/{part}_id.txt"]
    assert re.fullmatch(r"\d+(,\d+)*\n", text)
    found = [int(field) for field in text.split(",")]
    assert found == sorted(set(found))
    return set(found)


def counts():
    return Counter(
        tuple(map(int, re.findall(r"\d+", p.path)[:2])) for p in PLAN.pictures
    )


def test_lists_are_disjoint_and_their_union_is_available():
    train, val, test = ids("train"), ids("val"), ids("test")
    assert len(train) + len(val) == 12
    assert len(test) == 5
    assert len(train | val | test) == 17
    assert ids("available") == train | val | test


def test_paths_are_read_from_their_end():
    for picture in PLAN.pictures:
        match = re.fullmatch(r"cam([1-6])/(\d{4})/(\d{4})\.jpg", picture.path)
        assert match
        assert picture.camera == (int(match[1]) in (3, 6), int(match[1]))


def test_everybody_listed_has_both_modalities_and_somebody_is_unlisted():
    cameras = {}
    for camera, pid in counts():
        cameras.setdefault(pid, set()).add(camera)
    for pid in ids("available"):
        assert cameras[pid] & {3, 6}
        assert cameras[pid] & {1, 4, 5}
    assert len(set(cameras) - ids("available")) == 1
    kinds = {tuple(sorted(found)) for found in cameras.values()}
    assert {(1, 2, 3, 4, 5, 6), (3, 4, 5), (3, 4, 5, 6)} <= kinds


def test_numbers_of_images():
    found = counts()
    for pid in ids("train") | ids("val"):
        assert sum(found[c, pid] for c in (1, 2, 4, 5)) == 6
        assert sum(found[c, pid] for c in (3, 6)) == 6
    for pid in ids("test"):
        assert {found[c, pid] for c in (1, 2, 4, 5)} <= {0, 10}
