import random
from collections import Counter

import pytest

from ckda_jax.data import llcm
from ckda_jax.data.dataset import Options
from ckda_jax.data.row import Row
from ckda_jax.structs import INFRARED, VISIBLE, InputError
from tests.data import layouts
from tests.data.indexes import real_indexes


def test_loads_training_images_and_the_infrared_to_visible_protocol(tmp_path):
    root = layouts.write_llcm(tmp_path / "cam_1" / "LLCM")
    dataset = llcm.load(root, Options())
    assert Counter(dataset.train.modality.tolist()) == {VISIBLE: 12, INFRARED: 6}
    assert sorted(set(dataset.train.identity.tolist())) == [1, 4, 250]
    assert sorted(set(dataset.train.camera.tolist())) == [3, 6, 9]

    protocol = dataset.protocols["lifelong"]
    assert protocol.rule == "standard"
    assert protocol.query.identity.tolist() == [891, 891, 0, 0]
    assert set(protocol.query.modality) == {INFRARED}
    assert protocol.gallery.identity.tolist() == [0, 0, 891, 891]
    assert protocol.gallery.camera.tolist() == [3, 9, 3, 9]


def test_gallery_draws_depend_on_the_seed_alone(tmp_path):
    root = layouts.write_llcm(tmp_path)

    def gallery(seed):
        protocols = llcm.load(root, Options(seed=seed)).protocols
        return protocols["lifelong"].gallery.paths.tolist()

    assert gallery(0) == gallery(0)
    assert len({tuple(gallery(seed)) for seed in range(8)}) > 1


def test_published_protocols_have_ten_galleries_and_the_released_one_is_swapped(
    tmp_path,
):
    options = Options(protocols=("all",), seed=4)
    protocols = llcm.load(layouts.write_llcm(tmp_path), options).protocols
    forth = protocols["infrared-to-visible"]
    assert forth.rule == "llcm"
    assert {len(trial.gallery) for trial in forth.trials} == {4}
    assert len({tuple(trial.gallery) for trial in forth.trials}) > 1
    assert {tuple(trial.query) for trial in forth.trials} == {(0, 1, 2, 3)}
    again = llcm.load(tmp_path, Options(seed=6)).protocols["lifelong"]
    third = forth.gallery.take(forth.trials[2].gallery)
    assert third.paths.tolist() == again.gallery.paths.tolist()
    back = protocols["visible-to-infrared"]
    released = protocols["visible-to-infrared-released"]
    assert set(back.query.modality) == set(released.gallery.modality) == {VISIBLE}
    for mine, theirs in zip(back.trials, released.trials, strict=True):
        drawn = back.gallery.take(mine.gallery), released.query.take(theirs.query)
        assert drawn[0].paths.tolist() == drawn[1].paths.tolist()
        assert (len(theirs.query), len(theirs.gallery)) == (2, 8)


def test_gallery_draws_are_those_of_a_plain_loop_over_sorted_files():
    names = {(3, 1): "dacb", (3, 2): "zyx", (0, 7): "q", (12, 1): "fgh"}
    rows = [Row(n, i, VISIBLE, c) for (i, c), group in names.items() for n in group]
    rng = random.Random(5)
    expected = [rng.choice("q"), rng.choice("abcd"), rng.choice("xyz")]
    expected.append(rng.choice("fgh"))
    assert [row.path for row in llcm.draw_gallery(rows, 5)] == expected


def test_keeps_the_first_identities_of_the_training_lists(tmp_path):
    train = llcm.load(layouts.write_llcm(tmp_path), Options(max_identities=2)).train
    assert sorted(set(train.identity.tolist())) == [1, 250]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("nir/0250/0250_c06_s200519_f30_nir.jpg", "has no label"),
        ("nir/0251/0250_c06_s200519_f30_nir.jpg 0", "is not a path nir/"),
        ("nir/0250/0250_c06_s200519_f30_vis.jpg 0", "is not a path nir/"),
        ("nir/0250/0250_s200519_f30_nir.jpg 0", "is not a path nir/"),
    ],
)
def test_refuses_an_unusable_line_by_file_and_number(tmp_path, text, cause):
    root = layouts.write_llcm(tmp_path)
    layouts.edit_line(root / "idx" / "train_nir.txt", 1, text)
    with pytest.raises(InputError, match=cause) as error:
        llcm.load(root, Options())
    assert "idx/train_nir.txt line 1: " in str(error.value)


def test_refuses_a_repeated_line(tmp_path):
    root = layouts.write_llcm(tmp_path)
    lines = (root / "idx" / "test_vis.txt").read_text().splitlines()
    layouts.write_lines(root / "idx" / "test_vis.txt", [*lines, lines[0]])
    with pytest.raises(InputError, match=r"test_vis\.txt line 9: .* an earlier line"):
        llcm.load(root, Options())


def test_lists_absent_images(tmp_path):
    root = layouts.write_llcm(tmp_path)
    (root / "vis" / "0000" / "0000_c03_s200519_f30_vis.jpg").unlink()
    with pytest.raises(InputError, match="1 of 30 images .*: vis/0000/0000_c03_"):
        llcm.load(root, Options())


def test_real_training_lists_have_the_published_counts():
    root = real_indexes("LLCM")
    visible, infrared = (llcm.read_index(root, "train", m) for m in (VISIBLE, INFRARED))
    order = llcm.label_order("LLCM", [visible, infrared])
    assert (len(visible), len(infrared), len(order)) == (16946, 13975, 713)
    assert {image.row.identity for image in infrared} == set(order)
    kept = [sum(image.label < 500 for image in part) for part in (visible, infrared)]
    assert kept == [12139, 9857]
    cameras = Counter(image.row.camera for image in infrared)
    assert [cameras[c] for c in range(1, 10)] == [
        53,
        98,
        0,
        74,
        4291,
        8436,
        431,
        456,
        136,
    ]


def test_real_test_lists_have_the_published_counts():
    root = real_indexes("LLCM")
    visible, infrared = (llcm.read_index(root, "test", m) for m in (VISIBLE, INFRARED))
    order = llcm.label_order("LLCM", [visible, infrared])
    assert (len(visible), len(infrared), len(order)) == (8680, 7166, 351)
    assert all(identity % 3 == 0 for identity in order)
    learned = {image.row.identity for image in llcm.read_index(root, "train", VISIBLE)}
    assert learned.isdisjoint(order)
    gallery = llcm.draw_gallery([image.row for image in visible], 0)
    cameras = Counter(row.camera for row in gallery)
    assert [cameras[c] for c in range(1, 10)] == [9, 2, 162, 171, 99, 3, 24, 9, 5]
    assert len(llcm.draw_gallery([image.row for image in infrared], 0)) == 619


def test_a_survey_gathers_every_line_that_cannot_be_used(tmp_path):
    root = layouts.write_llcm(tmp_path)
    file = root / "idx/test_nir.txt"
    whole = llcm.survey(root, Options())
    lines = file.read_text().splitlines()
    layouts.edit_line(file, 2, "no path 0")
    layouts.edit_line(file, 4, lines[3].rpartition(" ")[0])
    layouts.edit_line(file, 1, lines[2])
    said = []
    found = llcm.survey(root, Options(), said.append)
    where = [str(error).partition(": ")[0].rpartition(" ")[2] for error in said]
    assert where == ["2", "4", "3"]
    lost = sum(map(len, whole.splits.values())) - sum(map(len, found.splits.values()))
    assert lost == 2
