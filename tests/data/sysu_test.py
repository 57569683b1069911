import random
import shutil
from collections import Counter

import numpy as np
import pytest
from scipy.io import savemat

from ckda_jax.data import sysu
from ckda_jax.data.dataset import Options
from ckda_jax.data.permutations import Permutations
from ckda_jax.structs import INFRARED, VISIBLE, InputError
from tests.data import layouts
from tests.data.indexes import real_indexes


def test_loads_training_images_and_the_all_search_protocol(tmp_path):
    dataset = sysu.load(layouts.write_sysu(tmp_path), Options())
    assert sorted(set(dataset.train.identity.tolist())) == [1, 2, 334]
    assert Counter(dataset.train.camera.tolist()) == {
        1: 6,
        2: 6,
        3: 9,
        4: 9,
        5: 9,
        6: 6,
    }
    infrared = dataset.train.modality == INFRARED
    assert set(dataset.train.camera[infrared]) == {3, 6}
    assert dataset.train.paths[0] == f"{tmp_path}/cam1/0001/0001.jpg"

    protocol = dataset.protocols["lifelong"]
    assert protocol.rule == "sysu"
    assert protocol.query.identity.tolist() == [6] * 6 + [10] * 3
    assert protocol.query.camera.tolist() == [3, 3, 3, 6, 6, 6, 6, 6, 6]
    assert protocol.gallery.identity.tolist() == [6, 6, 6, 6, 10, 10]
    assert protocol.gallery.camera.tolist() == [1, 2, 4, 5, 4, 5]


def test_gallery_draws_are_those_of_a_plain_loop_over_sorted_folders(tmp_path):
    root = layouts.write_sysu(tmp_path)
    random.seed(3)
    expected = []
    for identity in ("0006", "0010"):
        for camera in (1, 2, 4, 5):
            folder = root / f"cam{camera}" / identity
            if folder.is_dir():
                expected.append(random.choice(sorted(str(f) for f in folder.iterdir())))
    protocols = sysu.load(root, Options(seed=3)).protocols
    assert protocols["lifelong"].gallery.paths.tolist() == expected


def test_published_galleries_are_drawn_of_their_cameras(tmp_path):
    root = layouts.write_sysu(tmp_path)
    protocols = sysu.load(root, Options(protocols=("all",))).protocols
    for name, cameras, shots in (
        ("all-single", {1, 2, 4, 5}, 1),
        ("all-multi", {1, 2, 4, 5}, 3),
        ("indoor-single", {1, 2}, 1),
        ("indoor-multi", {1, 2}, 3),
    ):
        protocol = protocols[name]
        assert protocol.rule == "sysu" and len(protocol.trials) == 10
        assert set(protocol.gallery.camera.tolist()) == cameras
        for trial in protocol.trials:
            drawn = protocol.gallery.take(trial.gallery)
            groups = Counter(zip(drawn.identity, drawn.camera, strict=True))
            # There are three images of each; ten of a published multi-shot gallery.
            assert set(groups.values()) == {shots}
            assert len(set(drawn.paths)) == len(drawn)
    again = sysu.load(root, Options(seed=4)).protocols["lifelong"].gallery
    single = protocols["all-single"]
    fifth = single.gallery.take(single.trials[4].gallery)
    assert fifth.paths.tolist() == again.paths.tolist()


def test_a_published_permutation_chooses_the_gallery(tmp_path):
    root = layouts.write_sysu(tmp_path)
    options = Options(protocols=("all-single", "lifelong"), galleries="permutation")
    with pytest.raises(InputError, match="exp/rand_perm_cam.mat does not exist"):
        sysu.load(root, options)
    cameras = []
    for camera in range(1, 7):
        people = np.empty((10, 1), object)
        for identity in range(1, 11):
            filmed = (root / f"cam{camera}" / f"{identity:04d}").is_dir()
            order = [[3, 1, 2]] * 10 if filmed else np.zeros((0, 0))
            people[identity - 1, 0] = np.array(order, np.uint8)
        cameras.append(people)
    cells = np.empty((6, 1), object)
    cells[:, 0] = cameras
    savemat(root / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": cells})
    protocols = sysu.load(root, options).protocols
    listed = protocols["all-single"]
    assert listed.name == "all-single-permutation"
    assert {path[-8:] for path in listed.gallery.paths} == {"0003.jpg"}
    assert protocols["lifelong"].name == "lifelong"
    layouts.touch(root / "cam4" / "0006" / "0009.jpg")
    with pytest.raises(InputError, match="orders 3 images of identity 6 under"):
        sysu.load(root, options)


def test_keeps_the_first_identities_ascending(tmp_path):
    train = sysu.load(layouts.write_sysu(tmp_path), Options(max_identities=2)).train
    assert sorted(set(train.identity.tolist())) == [1, 2]


def test_ignores_files_that_are_no_images_and_an_empty_validation_split(tmp_path):
    root = layouts.write_sysu(tmp_path)
    layouts.touch(root / "cam3" / "0001" / "Thumbs.db")
    layouts.touch(root / "train_rgb_resized_img.npy")
    (root / "exp" / "val_id.txt").write_text("")
    train = sysu.load(root, Options()).train
    assert sorted(set(train.identity.tolist())) == [1, 2]
    assert len(train) == 36


def test_refuses_a_malformed_split(tmp_path):
    root = layouts.write_sysu(tmp_path)
    (root / "exp" / "train_id.txt").write_text("1,two,3\n")
    with pytest.raises(InputError, match=r"train_id\.txt line 1: '1,two,3' is not"):
        sysu.load(root, Options())


def test_a_split_may_have_a_line_for_each_identity(tmp_path):
    root = layouts.write_sysu(tmp_path)
    (root / "exp" / "train_id.txt").write_text("2\n1,\n\n")
    assert sysu.read_identities(root, "train") == [1, 2]


def test_refuses_splits_whose_identities_are_nowhere(tmp_path):
    root = layouts.write_sysu(tmp_path)
    (root / "exp" / "train_id.txt").write_text("501,502,503,504\n")
    with pytest.raises(InputError, match="4 identities .*: 501, 502, 503 and 1 more;"):
        sysu.load(root, Options())


def test_refuses_an_empty_folder_and_an_identity_with_one_modality(tmp_path):
    root = layouts.write_sysu(tmp_path)
    for image in (root / "cam4" / "0002").iterdir():
        image.unlink()
    with pytest.raises(InputError, match="1 folders without an image .*: cam4/0002;"):
        sysu.load(root, Options())
    shutil.rmtree(root / "cam4" / "0002")
    shutil.rmtree(root / "cam3" / "0334")
    with pytest.raises(InputError, match="no infrared .* of identity 334;"):
        sysu.load(root, Options())


def test_real_splits_are_disjoint_and_as_published():
    root = real_indexes("SYSU-MM01")
    train, val, test = (sysu.read_identities(root, split) for split in sysu.SPLITS)
    assert (len(train), len(val), len(test)) == (296, 99, 96)
    assert (train[0], val[0], test[0]) == (1, 334, 6)
    assert (train[-1], val[-1], test[-1]) == (533, 433, 333)
    available = (root / "exp" / "available_id.txt").read_text().split(",")
    assert sorted(train + val + test) == [int(identity) for identity in available]


def test_real_counts_give_the_published_sizes_of_all_parts():
    root = real_indexes("SYSU-MM01")
    permutations = Permutations(root / sysu.PERMUTATIONS)
    listing = sysu.published_listing(permutations)
    train, val, test = (sysu.read_identities(root, split) for split in sysu.SPLITS)
    learned = sorted(train + val)
    assert len(sysu.select(listing, learned, VISIBLE)) == 22258
    assert len(sysu.select(listing, learned, INFRARED)) == 11909
    assert len(sysu.select(listing, test, INFRARED)) == 3803
    sizes = {"all-single": 301, "all-multi": 3010}
    sizes |= {"indoor-single": 112, "indoor-multi": 1120}
    for name, size in sizes.items():
        search = sysu.PROTOCOLS[name]
        drawn = sysu.draw_gallery(listing, test, search, 0)
        listed = sysu.permuted_gallery(listing, test, search, permutations, 0)
        assert len(drawn) == len(set(drawn)) == size
        assert len(listed) == len(set(listed)) == size
        assert drawn != listed


def test_a_survey_splits_train_and_val_and_trains_on_both(tmp_path):
    found = sysu.survey(layouts.write_sysu(tmp_path), Options(protocols=("all",)))
    people = {s: sorted(set(t.identity.tolist())) for s, t in found.splits.items()}
    assert people == {"train": [1, 2], "val": [334], "test": [6, 10]}
    assert sorted(set(found.train.identity.tolist())) == [1, 2, 334]
    assert list(found.protocols) == list(sysu.PROTOCOLS)


def test_a_survey_gathers_all_that_is_wrong(tmp_path):
    root = layouts.write_sysu(tmp_path)
    (root / "exp" / "train_id.txt").write_text("1,two\n2,501\n")
    (root / "exp" / "val_id.txt").unlink()
    for image in (root / "cam4" / "0002").iterdir():
        image.unlink()
    said = []
    found = sysu.survey(root, Options(), said.append)
    causes = ["line 1: '1,two' is", "val_id.txt cannot be", "under any camera", "cam4/"]
    for error, cause in zip(said, causes, strict=True):
        assert cause in str(error)
    assert set(found.train.identity.tolist()) == {2}


def test_without_images_a_survey_needs_the_permutations(tmp_path):
    root = layouts.write_sysu(tmp_path)
    with pytest.raises(InputError, match=r"rand_perm_cam.mat, which .* --permutations"):
        sysu.survey(root, Options(), index_only=True)
