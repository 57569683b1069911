from collections import Counter

import pytest

from ckda_jax.data import vcm
from ckda_jax.data.dataset import Options
from ckda_jax.structs import INFRARED, VISIBLE, InputError
from tests.data import layouts


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
