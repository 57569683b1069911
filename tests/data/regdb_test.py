from collections import Counter

import numpy as np
import pytest

from ckda_jax.data import regdb
from ckda_jax.data.dataset import Options
from ckda_jax.structs import INFRARED, VISIBLE, InputError
from tests.data import layouts
from tests.data.indexes import real_indexes


def test_loads_training_images_and_the_visible_to_infrared_protocol(tmp_path):
    dataset = regdb.load(layouts.write_regdb(tmp_path), Options())
    assert len(dataset.train) == 18
    assert Counter(dataset.train.modality.tolist()) == {VISIBLE: 9, INFRARED: 9}
    assert sorted(set(dataset.train.identity.tolist())) == [2, 9, 30]
    assert dataset.train.paths[0] == f"{tmp_path}/Visible/9/male_back_v_00005_9.bmp"
    assert set(dataset.train.camera[dataset.train.modality == INFRARED]) == {2}
    assert set(dataset.train.tracklet) == {-1}

    protocol = dataset.protocols["lifelong"]
    assert protocol.rule == "standard"
    assert set(protocol.query.modality) == {VISIBLE}
    assert set(protocol.gallery.modality) == {INFRARED}
    assert protocol.query.identity.tolist() == [4, 4, 4, 11, 11, 11]
    assert protocol.gallery.paths[-1].endswith("Thermal/11/male_back_t_00010_11.bmp")


def test_keeps_the_first_identities_of_the_training_lists(tmp_path):
    root = layouts.write_regdb(tmp_path)
    train = regdb.load(root, Options(max_identities=2)).train
    assert sorted(set(train.identity.tolist())) == [2, 9]
    assert len(regdb.load(root, Options(max_identities=7)).train) == 18


def test_trial_chooses_the_lists(tmp_path):
    dataset = regdb.load(layouts.write_regdb(tmp_path, trial=7), Options(trial=7))
    assert len(dataset.train) == 18
    with pytest.raises(InputError, match=r"lacks idx/train_visible_1\.txt, .* and 1"):
        regdb.load(tmp_path, Options(trial=1))


def test_names_resize_chains(tmp_path):
    root = layouts.write_regdb(tmp_path)
    direct = regdb.load(root, Options())
    reference = regdb.load(root, Options(resample="reference"))
    assert (direct.resize_train, direct.resize_test) == ("lanczos", "lanczos")
    assert (reference.resize_train, reference.resize_test) == ("regdb", "lanczos")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Visible/9/male_back_v_00007_9.bmp", "has no label"),
        ("Visible/9/male_back_v_00007_9.bmp x", "has no label"),
        ("Thermal/9/male_back_t_00007_9.bmp 0", "is not a path Visible/"),
        ("Visible/9/male_back_v_00007_9.bmp 1", "line gives it label 0"),
        ("Visible/8/male_back_v_00007_8.bmp 0", "gives that label to identity 9"),
        ("Visible/9/male_back_v_00005_9.bmp 0", "names an image that an earlier line"),
    ],
)
def test_refuses_an_unusable_line_by_file_and_number(tmp_path, text, cause):
    root = layouts.write_regdb(tmp_path)
    layouts.edit_line(root / "idx" / "train_visible_1.txt", 2, text)
    with pytest.raises(InputError) as error:
        regdb.load(root, Options())
    assert "idx/train_visible_1.txt line 2: " in str(error.value)
    assert cause in str(error.value)


def test_refuses_labels_that_pair_different_people(tmp_path):
    root = layouts.write_regdb(tmp_path)
    lines = (root / "idx" / "train_thermal_1.txt").read_text().splitlines()
    swapped = [f"{line[:-1]}{(1, 0, 2)[int(line[-1])]}" for line in lines]
    layouts.write_lines(root / "idx" / "train_thermal_1.txt", swapped)
    with pytest.raises(InputError, match=r"train_thermal_1\.txt line 1: .* label 0"):
        regdb.load(root, Options())


def test_refuses_an_identity_with_one_modality(tmp_path):
    root = layouts.write_regdb(tmp_path)
    lines = (root / "idx" / "train_thermal_1.txt").read_text().splitlines()
    layouts.write_lines(root / "idx" / "train_thermal_1.txt", lines[:6])
    with pytest.raises(InputError, match="no infrared training images of identity 30;"):
        regdb.load(root, Options())


def test_lists_absent_images(tmp_path):
    root = layouts.write_regdb(tmp_path)
    for name in ("00005", "00007", "00010"):
        (root / "Thermal" / "2" / f"male_back_t_{name}_2.bmp").unlink()
    (root / "Visible" / "4" / "male_back_v_00005_4.bmp").unlink()
    with pytest.raises(InputError) as error:
        regdb.load(root, Options())
    assert "4 of 30 images named by the index files are absent" in str(error.value)
    assert "Thermal/2/male_back_t_00010_2.bmp" in str(error.value)
    assert "and 1 more" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\r\n", b"\xff\xfe\x00"])
def test_refuses_an_empty_or_binary_list(tmp_path, content):
    root = layouts.write_regdb(tmp_path)
    (root / "idx" / "test_thermal_1.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"test_thermal_1\.txt .*as released"):
        regdb.load(root, Options())


@pytest.mark.parametrize("trial", range(1, 11))
def test_real_lists_hold_206_aligned_identities_in_each_split(trial):
    root = real_indexes("RegDB")
    identities = {}
    for split in ("train", "test"):
        visible = regdb.read_index(root, split, VISIBLE, trial)
        thermal = regdb.read_index(root, split, INFRARED, trial)
        assert len(visible) == len(thermal) == 2060
        order = regdb.label_order("RegDB", [visible, thermal])
        assert sorted(order.values()) == list(range(206))
        identities[split] = set(order)
        assert [image.row.identity for image in visible] == [
            image.row.identity for image in thermal
        ]
    assert identities["train"] | identities["test"] == set(range(1, 413))


def test_real_list_starts_as_published():
    first = regdb.read_index(real_indexes("RegDB"), "train", VISIBLE, 1)[0]
    assert first.row.path == "Visible/285/male_back_v_05528_285.bmp"
    assert (first.row.identity, first.label) == (285, 0)
    test = regdb.read_index(real_indexes("RegDB"), "test", INFRARED, 1)
    assert test[0].row.identity == 88
    assert np.unique([image.row.camera for image in test]).tolist() == [2]


def test_trials_are_those_whose_index_files_are_there(tmp_path):
    assert regdb.trials(tmp_path) == []
    layouts.write_regdb(tmp_path, trial=7)
    layouts.write_regdb(tmp_path, trial=2)
    assert regdb.trials(tmp_path) == [2, 7]
    (tmp_path / "idx" / "test_thermal_7.txt").unlink()
    assert regdb.trials(tmp_path) == [2]


def test_the_two_directions_swap_query_and_gallery(tmp_path):
    options = Options(protocols=("all",))
    protocols = regdb.load(layouts.write_regdb(tmp_path), options).protocols
    forth, back = protocols["visible-to-infrared"], protocols["infrared-to-visible"]
    assert set(back.query.modality) == {INFRARED}
    assert back.query.paths.tolist() == forth.gallery.paths.tolist()
    assert back.gallery.paths.tolist() == forth.query.paths.tolist()
    lifelong = protocols["lifelong"]
    assert lifelong.query.paths.tolist() == forth.query.paths.tolist()


def test_a_survey_gathers_every_line_that_cannot_be_used(tmp_path):
    root = layouts.write_regdb(tmp_path)
    file = root / "idx/train_thermal_1.txt"
    whole = regdb.survey(root, Options())
    lines = file.read_text().splitlines()
    layouts.edit_line(file, 2, "no path 0")
    layouts.edit_line(file, 4, lines[3].rpartition(" ")[0])
    layouts.edit_line(file, 1, lines[2])
    said = []
    found = regdb.survey(root, Options(), said.append)
    where = [str(error).partition(": ")[0].rpartition(" ")[2] for error in said]
    assert where == ["2", "4", "3"]
    lost = sum(map(len, whole.splits.values())) - sum(map(len, found.splits.values()))
    assert lost == 2
