"""The data of a run, built from a config."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from ckda_jax.build import data
from ckda_jax.data.dataset import Dataset
from ckda_jax.engine.origin import Lineage
from ckda_jax.structs import InputError
from tests import runs
from tests.data.layouts import write_own


def load(config, world):
    """Load the datasets of a config."""
    roots = {name: str(root) for name, root in world.items()}
    loaded = data.datasets(config, roots)
    data.check_images(config, loaded)
    return loaded


def pictures(root):
    """Put a small picture into every image file of a folder; return the folder."""
    for path in root.rglob("*.jpg"):
        Image.new("RGB", (8, 16)).save(path)
    return root


def test_world_of_real_data_is_the_roots(world, tmp_path):
    config = runs.configuration(world)
    assert data.world(config, tmp_path) == {k: str(v) for k, v in world.items()}
    assert runs.listing(tmp_path) == []


def test_a_synthetic_world_has_the_sites_of_the_run_and_its_seed(world, tmp_path):
    config = runs.configuration(world, stages="sysu", seed=3)
    config.data.synthetic.update(
        enabled=True, identities=4, test_identities=2, images=2
    )
    roots = data.world(config, tmp_path)
    assert roots.keys() == {"sysu"}
    assert roots["sysu"].startswith(f"{tmp_path}/world/")
    assert '"seed": 3' in (tmp_path / "world" / "world.json").read_text()
    config.data.synthetic.seed = 5
    with pytest.raises(InputError, match="holds another synthetic world"):
        data.world(config, tmp_path)


def test_drawing_and_checking_tell_how_far_they_are(world, tmp_path):
    config = runs.configuration(world, stages="regdb", eval_only="sysu")
    config.data.synthetic.update(
        enabled=True, identities=4, test_identities=2, images=2
    )
    drawn, checked = [], []
    roots = data.world(config, tmp_path, lambda *count: drawn.append(count))
    assert drawn[-1][0] == drawn[-1][1] == len(drawn)
    loaded = data.datasets(config, roots)
    data.check_images(config, loaded, lambda *count: checked.append(count))
    tables = [loaded["regdb"].train]
    for dataset in loaded.values():
        (protocol,) = dataset.protocols.values()
        tables += [protocol.query, protocol.gallery]
    total = sum(map(len, tables))
    assert checked == [(done, total) for done in range(1, total + 1)]


def test_an_image_that_protocols_share_is_checked_once(world):
    config = runs.configuration(world, stages="regdb", eval__protocols="all")
    checked = []
    loaded = data.datasets(config, {"regdb": str(world["regdb"])})
    data.check_images(config, loaded, lambda *count: checked.append(count))
    assert len(loaded["regdb"].protocols) == 3
    tested = loaded["regdb"].protocols["lifelong"]
    total = len(loaded["regdb"].train) + len(tested.query) + len(tested.gallery)
    assert checked[-1] == (total, total)


def test_a_rule_that_leaves_nothing_to_find_is_refused(world):
    loaded = load(runs.configuration(world, stages="sysu"), world)["sysu"]
    (protocol,) = loaded.protocols.values()
    data.require_scores(loaded)
    # Camera 2 films the room of camera 3, which is why its images do not count.
    third = protocol.query.take(protocol.query.camera == 3)
    second = protocol.gallery.take(protocol.gallery.camera == 2)
    assert set(third.identity) & set(second.identity)
    few = dataclasses.replace(protocol, query=third, gallery=second)
    left = dataclasses.replace(loaded, protocols={"lifelong": few})
    with pytest.raises(InputError, match="sysu, protocol lifelong: its rule takes"):
        data.require_scores(left)


def test_own_datasets_stand_beside_roots_and_drawn_sites(world, tmp_path):
    config = runs.configuration(world, stages="gate", data__own="gate=data/gate")
    config.data.synthetic.update(enabled=True, identities=4, test_identities=2)
    assert data.world(config, tmp_path) == {"gate": "data/gate"}
    assert runs.listing(tmp_path) == []
    config.data.synthetic.enabled = False
    assert data.world(config, tmp_path) == {
        **{name: str(root) for name, root in world.items()},
        "gate": "data/gate",
    }
    data.check_names(config)


def test_protocols_of_own_datasets_are_checked_before_and_after_loading(
    world, tmp_path
):
    root = pictures(write_own(tmp_path / "gate"))
    shutil.rmtree(root / "test" / "thermal")

    def config(words):
        return runs.configuration(
            world,
            stages="gate",
            modalities="visible,infrared,thermal",
            data__own=f"gate={root}",
            eval__protocols=words,
        )

    data.check_protocols(config("lifelong,gate/thermal-to-visible"))
    with pytest.raises(InputError, match="no protocol 'gate/visible-to-depth' here"):
        data.check_protocols(config("gate/visible-to-depth"))
    # Only the images tell that nobody was filmed in thermal.
    with pytest.raises(InputError, match="no protocol 'gate/thermal-to-visible' here"):
        load(config("lifelong,gate/thermal-to-visible"), {"gate": root})
    loaded = load(config("all"), {"gate": root})["gate"]
    assert list(loaded.protocols) == [
        "lifelong",
        "visible-to-infrared",
        "infrared-to-visible",
    ]


def test_an_own_dataset_without_training_images_is_for_evaluation(world, tmp_path):
    root = pictures(write_own(tmp_path / "gate", ("visible", "infrared")))
    own = {"data__own": f"gate={root}"}
    learned = runs.configuration(world, stages="regdb", eval_only="gate", **own)
    loaded = load(learned, {**world, "gate": root})
    assert len(loaded["gate"].train) == 0 < len(loaded["regdb"].train)
    shutil.rmtree(root / "train")
    assert len(load(learned, {**world, "gate": root})["gate"].protocols) == 1
    with pytest.raises(InputError, match="names gate, but .*/gate has no training im"):
        load(runs.configuration(world, stages="gate", **own), {"gate": root})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages": ""}, "config.stages is empty"),
        ({"stages": "regdb,nowhere"}, "names 'nowhere'; there are .*sysu"),
        ({"eval_only": "nowhere"}, "names 'nowhere'"),
        ({"stages": "regdb,regdb"}, "'regdb' stands more than once"),
        ({"stages": "regdb", "eval_only": "regdb"}, "'regdb' stands more than once"),
    ],
)
def test_names_of_datasets_are_checked(world, changes, said):
    with pytest.raises(InputError, match=said):
        data.check_names(runs.configuration(world, **changes))


def test_a_dataset_is_not_learned_twice_over_an_extension(world):
    config = runs.configuration(world, stages="regdb,sysu")
    data.check_new(config, Lineage(init_from="old", learned=("llcm",)))
    with pytest.raises(InputError, match="names sysu, which old has learned"):
        data.check_new(config, Lineage(init_from="old", learned=("llcm", "sysu")))


def test_stages_follow_each_other_with_a_slice_each(world):
    config = runs.configuration(world, eval_only="llcm")
    loaded = load(config, world)
    assert list(loaded) == ["regdb", "sysu", "llcm"]
    first, second = data.stages(config, loaded, first_index=2)
    assert (first.index, second.index) == (2, 3)
    assert (first.first_row, second.first_row) == (0, 6)
    assert first.capacity == second.capacity == 12
    assert set(second.labels.tolist()) == set(range(6, 12))


def test_a_joint_run_has_one_stage_of_all_identities(world):
    config = runs.configuration(world, preset="joint")
    (stage,) = data.stages(config, load(config, world))
    assert stage.names == ("regdb", "sysu")
    assert stage.classes == 12


def test_max_identities_leaves_identities_out_of_training_only(world):
    few = runs.configuration(world, data__max_identities=4)
    every = runs.configuration(world)
    assert [stage.classes for stage in data.stages(few, load(few, world))] == [4, 4]
    assert [stage.classes for stage in data.stages(every, load(every, world))] == [6, 6]
    left, right = (load(config, world)["regdb"].protocols for config in (few, every))
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(
            left[name].gallery.paths, right[name].gallery.paths
        )


def test_more_identities_in_a_batch_than_there_are_is_refused(world):
    config = runs.configuration(world, train__identities=8)
    with pytest.raises(
        InputError, match="regdb: 6 identities cannot fill batches of 8"
    ):
        data.stages(config, load(config, world))


def test_stream_gives_the_batches_of_the_config(world):
    config = runs.configuration(world)
    _, stage = data.stages(config, load(config, world))
    with data.stream(config, stage) as stream:
        batches = list(stream)
    assert len(batches) == 4
    assert batches[0].images.shape == (2, 8, 32, 16, 3)
    assert len(set(batches[0].labels[0].tolist())) == 4
    assert data.images_per_step(config) == 16


def test_two_processes_share_a_batch(world):
    config = runs.configuration(world)
    stage, _ = data.stages(config, load(config, world))
    shares = []
    for index in range(2):
        with data.stream(config, stage, (index, 2)) as stream:
            shares.append(next(stream).example)
    with data.stream(config, stage) as stream:
        whole = next(stream).example
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), whole)


@pytest.fixture
def spoilt(world, tmp_path) -> tuple[dict, Dataset]:
    """Copy RegDB, with an empty training image; roots, and what was loaded before."""
    config = runs.configuration(world, stages="regdb")
    roots = world | {"regdb": shutil.copytree(world["regdb"], tmp_path / "RegDB")}
    loaded = load(config, roots)["regdb"]
    assert len(loaded.train) == 120
    os.truncate(loaded.train.paths[5], 0)
    return roots, loaded


def test_a_bad_training_image_is_an_error_unless_it_may_be_replaced(spoilt):
    roots, before = spoilt
    config = runs.configuration(roots, stages="regdb")
    with pytest.raises(
        InputError, match=f"1 of .*{before.train.paths[5]}: the file is"
    ):
        load(config, roots)
    config = runs.configuration(roots, stages="regdb", data__bad_images="skip")
    notes = []
    names = {name: str(root) for name, root in roots.items()}
    loaded = data.datasets(config, names)
    data.check_images(config, loaded, note=notes.append)
    (note,) = notes
    assert "the place of 1 of 120 training images" in note
    assert before.train.paths[5] in note
    (stage,) = data.stages(config, loaded)
    told = []
    with data.stream(config, stage, note=told.append) as stream:
        assert len(list(stream)) == 4
        assert len(stream.replacements) == len(told)
    rows = np.array([4, 5, 60])
    assert data.usable(config, stage, rows).tolist() == [4, 6, 60]
    config = runs.configuration(roots, stages="regdb")
    assert data.usable(config, stage, rows) is rows


def test_too_many_bad_training_images_are_refused(spoilt):
    roots, before = spoilt
    os.truncate(before.train.paths[70], 0)
    config = runs.configuration(roots, stages="regdb", data__bad_images="skip")
    with pytest.raises(InputError, match="2 of 120 images .*skip puts up with 1%"):
        load(config, roots)


def test_evaluation_images_are_never_replaced(spoilt):
    roots, before = spoilt
    (protocol,) = before.protocols.values()
    os.truncate(protocol.gallery.paths[3], 0)
    config = runs.configuration(roots, stages="regdb", data__bad_images="skip")
    with pytest.raises(InputError, match="replaces training images only") as caught:
        load(config, roots)
    assert protocol.gallery.paths[3] in str(caught.value)
    assert before.train.paths[5] not in str(caught.value)


def test_prepared_roots_must_serve_the_run(prepared_world):
    config = runs.configuration(prepared_world, data__resample="reference")
    assert load(config, prepared_world).keys() == {"regdb", "sysu"}
    for changes, said in (
        ({"data__resample": "reference", "model__image_size": "48,16"}, "but 48x16 by"),
        ({"stages": "vcm"}, "were not prepared by lanczos"),
    ):
        config = runs.configuration(prepared_world, **changes)
        with pytest.raises(InputError, match=said):
            load(config, prepared_world)
