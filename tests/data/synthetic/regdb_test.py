import re

import numpy as np

from ckda_jax.data.synthetic.layout import Size
from ckda_jax.data.synthetic.regdb import layout

SIZE = Size(identities=6, test_identities=4, images=4)
PLAN = layout(SIZE, seed=0)
LINE = re.compile(
    r"(Visible|Thermal)/(\d+)/(?:fe)?male_(?:front|back)_([vt])_\d{5}_\2\.bmp (\d+)\r\n"
)


def lines(part, word, trial):
    text = PLAN.texts[f"idx/{part}_{word}_{trial}.txt"]
    return [LINE.fullmatch(line) for line in text.splitlines(keepends=True)]


def test_ten_frames_of_every_person_in_both_modalities():
    assert len(PLAN.pictures) == 10 * 2 * 10
    paths = {p.path for p in PLAN.pictures}
    assert len(paths) == 200
    folders = {path.rsplit("/", 1)[0] for path in paths}
    assert folders == {f"{m}/{n}" for m in ("Visible", "Thermal") for n in range(1, 11)}


def test_lists_are_aligned_disjoint_and_restart_their_labels():
    paths = {p.path for p in PLAN.pictures}
    for trial in range(1, 11):
        people = {}
        for part, count in (("train", 6), ("test", 4)):
            visible, thermal = (lines(part, w, trial) for w in ("visible", "thermal"))
            assert len(visible) == len(thermal) == 10 * count
            for v, t in zip(visible, thermal, strict=True):
                assert v and t
                assert v[0].replace("Visible", "Thermal").replace("_v_", "_t_") == t[0]
                assert {m[0].split(" ")[0] for m in (v, t)} <= paths
            labels = [int(m[4]) for m in visible if m]
            np.testing.assert_array_equal(labels, np.repeat(np.arange(count), 10))
            people[part] = {m[2] for m in visible if m}
        assert not people["train"] & people["test"]
        assert len(people["train"] | people["test"]) == 10


def test_names_tell_the_side_that_is_seen_and_twins_are_other_moments():
    for picture in PLAN.pictures:
        assert ("front", "back")[picture.view or 0] in picture.path
    assert len({p.shot for p in PLAN.pictures}) == len(PLAN.pictures)
