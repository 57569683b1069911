"""From entries to a dataset: numbers for names, splits, pairs, rules, tracklets."""

from pathlib import Path

import numpy as np
import pytest

from ckda_jax.data import own
from ckda_jax.data.dataset import Options
from ckda_jax.data.own import Entry, Pair
from ckda_jax.structs import InputError

ROOT = Path("/root")
NAMES = ("visible", "infrared", "thermal")
EVERYTHING = Options(modalities=NAMES, protocols=("all",))


def entries(split, identities, modalities=(0, 1, 2), cameras=("",)):
    """List an image of each identity in each modality under each camera."""
    return [
        Entry(f"{split}/{m}/{i}/{c}.jpg", split, m, i, c)
        for i in identities
        for m in modalities
        for c in cameras
    ]


TRAIN = entries("train", ("p10", "p2", "ann"))


def assemble(listed, options=EVERYTHING):
    return own.assemble("site", ROOT, listed, options)


def refusal(listed, options=EVERYTHING):
    with pytest.raises(InputError) as caught:
        assemble(listed, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_identities_and_cameras_are_numbered_by_name_over_all_splits():
    tested = entries("test", ("p3", "bob"), cameras=("c10", "c9"))
    dataset = assemble(TRAIN + tested)
    assert dataset.names.identities == ("ann", "bob", "p2", "p3", "p10")
    assert dataset.names.cameras == ("c9", "c10")
    assert dataset.names.modalities == NAMES
    assert dataset.train.identity.tolist() == [4, 4, 4, 2, 2, 2, 0, 0, 0]
    assert dataset.train.camera.tolist() == [-1] * 9
    query = dataset.protocols["thermal-to-visible"].query
    assert query.identity.tolist() == [3, 3, 1, 1]
    assert query.camera.tolist() == [1, 0, 1, 0]
    assert dataset.train.paths[0] == "/root/train/0/p10/.jpg"


def test_every_ordered_pair_is_a_protocol_and_one_is_the_lifelong_table_s():
    protocols = assemble(TRAIN + entries("test", ("x", "y"))).protocols
    assert tuple(protocols) == own.protocol_names(NAMES)
    assert len(protocols) == 7
    for name, protocol in protocols.items():
        wanted = "infrared-to-visible" if name == "lifelong" else name
        sides = (protocol.query, protocol.gallery)
        assert wanted == "-to-".join(NAMES[side.modality[0]] for side in sides)
        assert [len(set(side.modality.tolist())) for side in sides] == [1, 1]
        assert len(protocol.query) == len(protocol.gallery) == 2


def test_only_what_is_asked_for_is_made():
    dataset = assemble(TRAIN + entries("test", ("x",)), Options(modalities=NAMES))
    assert list(dataset.protocols) == ["lifelong"]


def test_a_pair_without_a_shared_identity_is_left_out():
    tested = entries("test", ("x",), (0, 2)) + entries("test", ("y",), (1,))
    dataset = assemble(TRAIN + tested)
    assert list(dataset.protocols) == [
        "lifelong",
        "visible-to-thermal",
        "thermal-to-visible",
    ]
    lifelong = dataset.protocols["lifelong"]
    assert lifelong.query.modality.tolist() == [2]
    assert "no identity of the test images" in refusal(TRAIN + tested[1:])


def test_queries_and_gallery_may_be_splits_of_their_own():
    tested = entries("query", ("x", "y"), (1,)) + entries("gallery", ("x",), (0, 1, 2))
    protocols = assemble(TRAIN + tested).protocols
    assert list(protocols) == [
        "lifelong",
        "infrared-to-visible",
        "infrared-to-thermal",
    ]
    assert len(protocols["lifelong"].query) == 2
    assert protocols["lifelong"].gallery.paths.tolist() == ["/root/gallery/0/x/.jpg"]


@pytest.mark.parametrize(
    ("splits", "found"),
    [
        ((), "has neither"),
        (("query",), "has query"),
        (("test", "gallery"), "has test and gallery"),
    ],
)
def test_other_mixes_of_splits_are_refused(splits, found):
    tested = [entry for split in splits for entry in entries(split, ("x",))]
    assert found in refusal(TRAIN + tested)


def test_training_identities_need_every_modality_that_any_has():
    tested = entries("test", ("x",))
    lacking = refusal(
        entries("train", ("a", "b")) + entries("train", "c", (0, 1)) + tested
    )
    assert lacking.startswith("site: no thermal training images of identity c; every")
    two = assemble(entries("train", ("a", "b"), (0, 2)) + tested)
    assert set(two.train.modality.tolist()) == {0, 2}
    assert len(assemble(tested).train) == 0


def test_the_first_identities_are_kept():
    options = Options(modalities=NAMES, max_identities=2)
    dataset = assemble(TRAIN + entries("test", ("x",)), options)
    kept = {dataset.names.identity(i) for i in dataset.train.identity.tolist()}
    assert kept == {"ann", "p2"}


@pytest.mark.parametrize(
    ("cameras", "asked", "rule"),
    [
        (("a", "b"), "auto", "own-camera"),
        (("a", "b"), "standard", "standard"),
        (("a", ""), "auto", "standard"),
        (("a", ""), "own-camera", "own-camera"),
        # One camera for all: without its images nothing would be left to find.
        (("a",), "auto", "standard"),
        ((""), "auto", "standard"),
    ],
)
def test_the_rule_depends_on_what_is_known_of_cameras(cameras, asked, rule):
    options = Options(modalities=NAMES, own_rule=asked)
    tested = entries("test", ("x", "y"), cameras=cameras or ("",))
    assert assemble(TRAIN + tested, options).protocols["lifelong"].rule == rule


def tracklet(modality, identity, name, frames):
    return [
        Entry(
            f"{modality}/{identity}/{name}/{f}", "test", modality, identity, "", name, f
        )
        for f in frames
    ]


def test_the_frames_of_a_tracklet_are_one_item_in_natural_order():
    listed = [
        *tracklet(0, "x", "1", ("10", "9")),
        Entry("single", "test", 0, "y"),
        *tracklet(0, "z", "1", ("2",)),
        *tracklet(0, "x", "2", ("1",)),
        Entry("other", "test", 0, "x"),
        *tracklet(0, "x", "1", ("8",)),
        *tracklet(1, "x", "1", ("1", "2")),
    ]
    protocol = assemble(TRAIN + listed).protocols["visible-to-infrared"]
    assert protocol.pooled
    paths = [path.removeprefix("/root/") for path in protocol.query.paths]
    assert paths[:3] == ["0/x/1/8", "0/x/1/9", "0/x/1/10"]
    assert paths[3:] == ["single", "0/z/1/2", "0/x/2/1", "other"]
    items = protocol.items(protocol.query)
    assert items.paths[0] == "/root/0/x/1/8" and len(items) == 5
    embeddings = np.eye(7)
    pooled = protocol.pool(protocol.query, embeddings)
    np.testing.assert_allclose(pooled[0, :3], 3**-0.5)
    np.testing.assert_array_equal(pooled[1:], embeddings[3:])
    assert len(protocol.items(protocol.gallery)) == 1


def test_a_gallery_of_single_images_beside_tracklets_keeps_them_apart():
    singles = [Entry(f"{n}", "test", 1, "x") for n in range(3)]
    protocols = assemble(TRAIN + tracklet(0, "x", "1", "12") + singles).protocols
    lifelong = protocols["lifelong"]
    assert len(lifelong.items(lifelong.query)) == 3
    assert len(lifelong.items(lifelong.gallery)) == 1


def test_without_tracklets_every_image_is_an_item():
    protocol = assemble(TRAIN + entries("test", ("x",))).protocols["lifelong"]
    assert not protocol.pooled
    assert protocol.query.tracklet.tolist() == [-1]


@pytest.mark.parametrize(
    ("pairs", "chosen"),
    [
        ([(0, 1), (1, 0), (2, 0), (2, 1)], (1, 0)),
        ([(1, 2), (2, 1)], (2, 1)),
        ([(0, 2), (1, 2)], (0, 2)),
    ],
)
def test_lifelong_pair(pairs, chosen):
    assert own.lifelong_pair([Pair(*pair) for pair in pairs]) == Pair(*chosen)


def test_natural_order_takes_numbers_of_any_length():
    long = "7" * 5000
    assert sorted([long, "a1", "a01", "8", "a"], key=own.natural) == [
        "8",
        long,
        "a",
        "a01",
        "a1",
    ]


def test_a_survey_has_the_people_of_queries_and_galleries_in_one_split():
    listed = [*TRAIN, *entries("query", ("eve",), (1,)), *entries("gallery", ("eve",))]
    found = own.survey("site", ROOT, listed, EVERYTHING)
    assert {split: len(table) for split, table in found.splits.items()} == {
        "train": 9,
        "test": 4,
    }
    made = assemble(listed)
    assert found.names == made.names
    assert found.train.paths.tolist() == made.train.paths.tolist()
    assert list(found.protocols) == list(made.protocols)


def test_a_survey_goes_on_where_nothing_can_be_assembled():
    said = []
    found = own.survey("site", ROOT, TRAIN[:-1], EVERYTHING, said.append)
    assert (len(said), list(found.splits), found.protocols) == (1, ["train"], {})
    assert len(found.train) == 8
    assert own.survey("site", ROOT, [], EVERYTHING, said.append).splits == {}
