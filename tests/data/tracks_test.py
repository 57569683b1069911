import random
from collections import Counter
from pathlib import Path

from ckda_jax.data import tracks
from ckda_jax.data.index import Line
from ckda_jax.structs import INFRARED, VISIBLE, InputError
from tests.data import layouts
from tests.data.indexes import real_indexes


def test_frames_are_drawn_infrared_first_from_seed_zero(tmp_path):
    listed = tracks.read_tracks(layouts.write_vcm(tmp_path), "train")
    random.seed(0)
    expected = []
    for modality in (INFRARED, VISIBLE):
        for track in listed:
            if track.modality == modality and len(track.frames) >= 12:
                drawn = random.sample(range(len(track.frames)), 3)
                expected += [(track.number, track.frames.start + d) for d in drawn]
    frames = tracks.draw_frames(listed)
    assert [(track.number, position) for track, position in frames] == expected


def test_real_tracks_have_the_published_counts():
    root = real_indexes("HITSZ-VCM")
    train, test = tracks.read_tracks(root, "train"), tracks.read_tracks(root, "test")
    assert Counter(t.modality for t in train) == {VISIBLE: 6142, INFRARED: 4919}
    assert Counter(t.modality for t in test) == {VISIBLE: 5643, INFRARED: 5159}
    queries = tracks.read_queries(root, test)
    assert queries == {t.number for t in test if t.modality == INFRARED}

    long_query = tracks.long_tracks(test, INFRARED)
    long_gallery = tracks.long_tracks(test, VISIBLE)
    assert (len(long_query), len(long_gallery)) == (4584, 5099)
    assert sum(len(t.frames) for t in long_query) == 105979
    assert sum(len(t.frames) for t in long_gallery) == 118137
    assert {t.identity for t in train}.isdisjoint(t.identity for t in test)
    frames = Counter(track.modality for track, _ in tracks.draw_frames(train))
    assert frames == {VISIBLE: 16380, INFRARED: 12873}
    for modality in (VISIBLE, INFRARED):
        assert len({t.identity for t in tracks.long_tracks(train, modality)}) == 500
        assert len({t.identity for t in tracks.long_tracks(test, modality)}) == 427


def test_gathers_every_line_that_describes_no_tracklet(tmp_path):
    root = layouts.write_vcm(tmp_path)
    file = root / "info" / "track_train_info.txt"
    layouts.edit_line(file, 1, "2 1 24 0001")
    layouts.edit_line(file, 3, "3 30 53 0001 2")
    layouts.edit_line(file, 8, "1 70 24 0001 4")
    said: list[InputError] = []
    listed = tracks.read_tracks(root, "train", said.append)
    assert [track.number for track in listed] == [2, *range(4, 8), *range(9, 17)]
    places = [str(error).partition("info.txt ")[2].partition(":")[0] for error in said]
    assert places == ["line 1", "line 3", "line 8"]


def test_gathers_every_number_that_is_no_query(tmp_path):
    root = layouts.write_vcm(tmp_path)
    layouts.edit_line(root / "info" / "query_IDX.txt", 1, "5 x 6 1 7")
    said: list[InputError] = []
    listed = tracks.read_tracks(root, "test")
    assert tracks.read_queries(root, listed, said.append) == {5, 6, 7}
    assert ["'x'" in str(said[0]), "'1'" in str(said[1])] == [True, True]


def test_frames_are_spread_over_a_tracklet_and_the_last_is_repeated():
    line = Line(Path("track_test_info.txt"), 1, "")

    def places(length, count):
        track = tracks.Track(1, VISIBLE, range(100, 100 + length), 503, 1, line)
        return [place - 100 for _, place in tracks.spread_frames([track], count)]

    assert places(24, 1) == [0]
    assert places(24, 6) == [0, 4, 8, 12, 16, 20]
    assert places(13, 6) == [0, 3, 6, 9, 12, 12]
    assert places(12, 6) == [0, 2, 4, 6, 8, 10]
