import random
from collections import Counter
from pathlib import Path

import pytest

from ckda_jax.data import vcm
from ckda_jax.data.dataset import Options
from ckda_jax.data.index import Line
from ckda_jax.structs import INFRARED, VISIBLE, InputError
from tests.data import layouts
from tests.data.indexes import real_indexes


def test_loads_three_frames_of_long_tracklets_and_the_first_frame_protocol(tmp_path):
    dataset = vcm.load(layouts.write_vcm(tmp_path), Options())
    assert Counter(dataset.train.modality.tolist()) == {VISIBLE: 12, INFRARED: 12}
    assert set(Counter(dataset.train.tracklet.tolist()).values()) == {3}
    assert sorted(set(dataset.train.identity.tolist())) == [1, 3]
    assert len(set(dataset.train.paths.tolist())) == 24

    protocol = dataset.protocols["lifelong"]
    assert protocol.rule == "standard"
    assert protocol.query.identity.tolist() == [503, 503, 504, 504]
    assert protocol.query.camera.tolist() == [3, 4, 3, 4]
    assert protocol.query.tracklet.tolist() == [5, 7, 13, 15]
    assert protocol.query.paths[0] == f"{tmp_path}/Test/0503/ir/D3/100.jpg"
    assert protocol.gallery.paths[-1] == f"{tmp_path}/Test/0504/rgb/D2/100.jpg"
    assert set(protocol.gallery.modality) == {VISIBLE}


def test_frames_are_drawn_infrared_first_from_seed_zero(tmp_path):
    tracks = vcm.read_tracks(layouts.write_vcm(tmp_path), "train")
    random.seed(0)
    expected = []
    for modality in (INFRARED, VISIBLE):
        for track in tracks:
            if track.modality == modality and len(track.frames) >= 12:
                drawn = random.sample(range(len(track.frames)), 3)
                expected += [(track.number, track.frames.start + d) for d in drawn]
    frames = vcm.draw_frames(tracks)
    assert [(track.number, position) for track, position in frames] == expected


def test_frames_are_spread_over_a_tracklet_and_the_last_is_repeated():
    line = Line(Path("track_test_info.txt"), 1, "")

    def places(length, count):
        track = vcm.Track(1, VISIBLE, range(100, 100 + length), 503, 1, line)
        return [place - 100 for _, place in vcm.spread_frames([track], count)]

    assert places(24, 1) == [0]
    assert places(24, 6) == [0, 4, 8, 12, 16, 20]
    assert places(13, 6) == [0, 3, 6, 9, 12, 12]
    assert places(12, 6) == [0, 2, 4, 6, 8, 10]


def test_six_frames_of_a_tracklet_are_one_item_in_either_direction(tmp_path):
    options = Options(protocols=("all",))
    protocols = vcm.load(layouts.write_vcm(tmp_path), options).protocols
    forth = protocols["infrared-to-visible"]
    back = protocols["visible-to-infrared"]
    assert forth.rule == back.rule == "vcm" and forth.pooled and back.pooled
    assert len(forth.query) == 6 * len(forth.items(forth.query)) == 24
    assert forth.items(forth.query).tracklet.tolist() == [5, 7, 13, 15]
    assert back.query.paths.tolist() == forth.gallery.paths.tolist()
    assert back.gallery.paths.tolist() == forth.query.paths.tolist()
    single = protocols["infrared-to-visible-first-frame"]
    assert not single.pooled
    lifelong = protocols["lifelong"]
    assert single.query.paths.tolist() == lifelong.query.paths.tolist()
    assert single.query.paths[0] == forth.query.paths[0]


def test_keeps_the_first_identities_ascending(tmp_path):
    train = vcm.load(layouts.write_vcm(tmp_path), Options(max_identities=1)).train
    assert set(train.identity.tolist()) == {1}


def test_names_resize_chains(tmp_path):
    root = layouts.write_vcm(tmp_path)
    direct = vcm.load(root, Options())
    reference = vcm.load(root, Options(resample="reference"))
    assert (direct.resize_train, direct.resize_test) == ("lanczos", "lanczos")
    assert (reference.resize_train, reference.resize_test) == ("vcm", "bilinear")


@pytest.mark.parametrize(
    ("file", "text", "cause"),
    [
        ("track_train_info.txt", "2 1 24 0001", "is not a row of 5 integers"),
        ("track_train_info.txt", "3 1 24 0001 1", "with modality 1 or 2"),
        ("track_train_info.txt", "2 0 24 0001 1", "first at most last"),
        ("track_train_info.txt", "2 233 9999 0001 1", "reaches beyond the 233 lines"),
        ("track_train_info.txt", "2 26 29 0001 1", "shares frames with line 2"),
        ("track_train_info.txt", "2 1 24 0003 1", "is not a frame of the tracklet"),
        ("query_IDX.txt", "5 6 7 1", "line 1: '1' is not the number of an infrared"),
        ("query_IDX.txt", "5 x", "line 1: 'x' is not the number of an infrared"),
    ],
)
def test_refuses_an_unusable_line(tmp_path, file, text, cause):
    root = layouts.write_vcm(tmp_path)
    layouts.edit_line(root / "info" / file, 1, text)
    with pytest.raises(InputError, match=cause) as error:
        vcm.load(root, Options())
    assert "line 1" in str(error.value)


def test_blank_lines_do_not_number_tracklets(tmp_path):
    root = layouts.write_vcm(tmp_path)
    whole = vcm.load(root, Options()).protocols["lifelong"].query
    file = root / "info" / "track_test_info.txt"
    layouts.write_lines(file, ["", *file.read_text().splitlines()])
    again = vcm.load(root, Options()).protocols["lifelong"].query
    assert again.paths.tolist() == whole.paths.tolist()
    assert again.tracklet.tolist() == whole.tracklet.tolist()


def test_lists_absent_images(tmp_path):
    root = layouts.write_vcm(tmp_path)
    (root / "Test" / "0504" / "rgb" / "D2" / "100.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of 32 images .*: Test/0504/rgb/D2/100\.j"):
        vcm.load(root, Options())


def test_real_tracks_have_the_published_counts():
    root = real_indexes("HITSZ-VCM")
    train, test = vcm.read_tracks(root, "train"), vcm.read_tracks(root, "test")
    assert Counter(t.modality for t in train) == {VISIBLE: 6142, INFRARED: 4919}
    assert Counter(t.modality for t in test) == {VISIBLE: 5643, INFRARED: 5159}
    queries = vcm.read_queries(root, test)
    assert queries == {t.number for t in test if t.modality == INFRARED}

    long_query = vcm.long_tracks(test, INFRARED)
    long_gallery = vcm.long_tracks(test, VISIBLE)
    assert (len(long_query), len(long_gallery)) == (4584, 5099)
    assert sum(len(t.frames) for t in long_query) == 105979
    assert sum(len(t.frames) for t in long_gallery) == 118137
    assert {t.identity for t in train}.isdisjoint(t.identity for t in test)
    frames = Counter(track.modality for track, _ in vcm.draw_frames(train))
    assert frames == {VISIBLE: 16380, INFRARED: 12873}
    for modality in (VISIBLE, INFRARED):
        assert len({t.identity for t in vcm.long_tracks(train, modality)}) == 500
        assert len({t.identity for t in vcm.long_tracks(test, modality)}) == 427
