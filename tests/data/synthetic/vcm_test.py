import re

from ckda_jax.data.synthetic.layout import Size
from ckda_jax.data.synthetic.vcm import CHUNK, USABLE, layout

SIZE = Size(identities=12, test_identities=8, images=8)
PLAN = layout(SIZE, seed=0)
NAME = re.compile(r"(\d{4})M([12])D(\d+)T(\d+)F(\d+)\.jpg")


def names(part):
    found = PLAN.texts[f"info/{part}_name.txt"].splitlines()
    return [match for name in found if (match := NAME.fullmatch(name))]


def tracks(part):
    text = PLAN.texts[f"info/track_{part}_info.txt"]
    return [tuple(map(int, row.split(" "))) for row in text.splitlines()]


def test_tracks_name_lines_of_the_name_list_without_gap_or_overlap():
    for part in ("train", "test"):
        listed, end = names(part), 0
        for modality, start, stop, pid, camera in tracks(part):
            assert start == end + 1
            end = stop
            for match in listed[start - 1 : stop]:
                assert [int(match[k]) for k in (1, 2, 3)] == [pid, modality, camera]
        assert len(listed) - end == 2  # the last names belong to no tracklet


def test_tracks_are_cut_in_chunks_and_enough_are_usable():
    for part in ("train", "test"):
        lengths = [stop - start + 1 for _, start, stop, _, _ in tracks(part)]
        assert max(lengths) == CHUNK
        assert min(lengths) < USABLE
        for wanted in (1, 2):
            for pid in {row[3] for row in tracks(part)}:
                usable = [
                    1
                    for modality, start, stop, who, _ in tracks(part)
                    if (modality, who) == (wanted, pid) and stop - start + 1 >= USABLE
                ]
                assert len(usable) == 3  # of 3 frames each, for 8 images


def test_every_name_is_one_file():
    paths = [p.path for p in PLAN.pictures]
    assert len(set(paths)) == len(paths)
    folders = {"train": "Train", "test": "Test"}
    wanted = {
        f"{folders[part]}/{m[1]}/{('ir', 'rgb')[int(m[2]) - 1]}/D{m[3]}/{m[5]}.jpg"
        for part in folders
        for m in names(part)
    }
    assert set(paths) == wanted


def test_queries_are_the_infrared_rows_by_number():
    rows = tracks("test")
    expected = [n for n, row in enumerate(rows, start=1) if row[0] == 1]
    assert PLAN.texts["info/query_IDX.txt"] == " ".join(map(str, expected))


def test_modalities_of_a_person_have_other_cameras():
    for part in ("train", "test"):
        seen = {}
        for modality, _, _, pid, camera in tracks(part):
            seen.setdefault(pid, ({*()}, {*()}))[modality - 1].add(camera)
        assert not any(infrared & visible for infrared, visible in seen.values())
        limit = 6 if part == "train" else 12
        assert max(c for both in seen.values() for c in both[0] | both[1]) <= limit


def test_people_of_the_halves_differ():
    halves = [{row[3] for row in tracks(part)} for part in ("train", "test")]
    assert list(map(len, halves)) == [12, 8]
    assert min(halves[1]) >= 503 > max(halves[0])
