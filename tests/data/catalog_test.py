import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from ckda_jax.data import catalog
from ckda_jax.data.dataset import Options
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.structs import InputError
from tests.data import layouts

NEEDED = {"regdb": "Thermal", "sysu": "cam3", "llcm": "nir", "vcm": "Test"}
datasets = pytest.mark.parametrize("name", catalog.DATASETS)


def test_every_dataset_has_a_layout_here():
    assert set(layouts.WRITERS) == set(catalog.DATASETS) == set(NEEDED)


@datasets
def test_loads_every_dataset(name, tmp_path):
    dataset = catalog.load(name, layouts.WRITERS[name](tmp_path))
    assert dataset.name == name
    assert dataset.root == tmp_path
    (protocol,) = dataset.protocols.values()
    assert dataset.protocols[protocol.name] is protocol
    assert protocol.rule in RULES
    assert set(dataset.train.identity).isdisjoint(protocol.query.identity)
    assert all(path.startswith(f"{tmp_path}/") for path in dataset.train.paths)


@datasets
def test_relative_roots_give_absolute_paths(name, tmp_path, monkeypatch):
    layouts.WRITERS[name](tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    dataset = catalog.load(name, "here")
    assert dataset.train.paths[0].startswith(f"{tmp_path}/here/")


@datasets
def test_refuses_an_absent_root(name, tmp_path):
    with pytest.raises(InputError) as error:
        catalog.load(name, tmp_path / "nowhere")
    first, *tree = str(error.value).splitlines()
    assert f"{tmp_path / 'nowhere'} does not exist; " in first
    assert f"config.data.roots.{name}" in first
    assert f"  {NEEDED[name]}/" in "\n".join(tree)


@datasets
def test_refuses_a_half_present_root_with_both_trees(name, tmp_path):
    root = layouts.WRITERS[name](tmp_path / "half")
    shutil.rmtree(root / NEEDED[name])
    layouts.touch(root / "notes.txt")
    with pytest.raises(InputError) as error:
        catalog.load(name, root)
    first, header, *tree = str(error.value).splitlines()
    assert f"lacks {NEEDED[name]}/; " in first
    assert header.startswith("expected (") and header.endswith(f"found in {root}")
    assert any(row.split() == [f"{NEEDED[name]}/", "-"] for row in tree)
    assert tree[-1].split() == ["notes.txt"]


@datasets
def test_says_so_when_the_dataset_lies_one_level_below_or_above(name, tmp_path):
    root = layouts.WRITERS[name](tmp_path / "inner")
    for wrong, where in ((tmp_path, "below"), (root / NEEDED[name], "above")):
        with pytest.raises(InputError) as error:
            catalog.load(name, wrong)
        first = str(error.value).splitlines()[0]
        assert f"one level {where}: set config.data.roots.{name}={root}" in first


def test_refuses_a_root_that_is_a_file(tmp_path):
    layouts.touch(tmp_path / "RegDB.zip")
    with pytest.raises(InputError, match=r"RegDB\.zip is not a folder; "):
        catalog.load("regdb", tmp_path / "RegDB.zip")


def test_shortens_a_long_listing(tmp_path):
    for number in range(30):
        layouts.touch(tmp_path / f"{number:02d}.bmp")
    with pytest.raises(InputError) as error:
        catalog.load("regdb", tmp_path)
    assert str(error.value).splitlines()[-1].strip() == "... and 18 more"


def test_refuses_a_name_that_is_no_dataset(tmp_path):
    with pytest.raises(InputError, match="no dataset 'market'; choose one of regdb,"):
        catalog.load("market", tmp_path)


def test_refuses_to_test_with_people_who_are_trained_on(tmp_path):
    root = layouts.write_sysu(tmp_path)
    (root / "exp" / "test_id.txt").write_text("6,10,2\n")
    with pytest.raises(InputError, match="the query shows identity 2 of the training"):
        catalog.load("sysu", root)


def test_refuses_a_protocol_in_which_nothing_can_be_found(tmp_path):
    root = layouts.write_sysu(tmp_path)
    for camera in (1, 2, 4, 5):
        shutil.rmtree(root / f"cam{camera}" / "0006", ignore_errors=True)
        shutil.rmtree(root / f"cam{camera}" / "0010", ignore_errors=True)
    with pytest.raises(InputError, match="lifelong: the gallery is empty"):
        catalog.load("sysu", root)
    layouts.write_sysu(root)
    (root / "exp" / "test_id.txt").write_text("6,9\n")
    shutil.rmtree(root / "cam3" / "0006")
    shutil.rmtree(root / "cam6" / "0006")
    for frame in range(1, 4):
        layouts.touch(root / "cam3" / "0009" / f"{frame:04d}.jpg")
    for camera in (4, 5):
        shutil.rmtree(root / f"cam{camera}" / "0009")
    with pytest.raises(InputError, match="no identity is in both query and gallery"):
        catalog.load("sysu", root)


def test_words_ask_for_protocols_of_all_datasets_or_of_one():
    words = ["lifelong", "sysu/all-single", "llcm/all"]
    assert catalog.asked_of("sysu", words) == ("lifelong", "all-single")
    assert catalog.asked_of("llcm", words) == ("lifelong", "all")
    catalog.check_protocols(words, ["sysu", "llcm"])
    for wrong in ("all-double", "regdb/lifelong", "sysu/visible-to-infrared", ""):
        with pytest.raises(InputError, match=f"no protocol '{wrong}' here; there are"):
            catalog.check_protocols([wrong], ["sysu", "llcm"])


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_every_protocol_loads_by_name(tmp_path, name):
    root = layouts.WRITERS[name](tmp_path)
    every = catalog.load(name, root, Options(protocols=("all",)))
    assert tuple(every.protocols) == catalog.PROTOCOLS[name]
    for key, protocol in every.protocols.items():
        assert protocol.name == key and protocol.rule in RULES
        assert len(protocol.each_trial()) in (1, 10)
        alone = catalog.load(name, root, Options(protocols=(key,)))
        assert list(alone.protocols) == [key]
        paths = alone.protocols[key].query.paths
        assert paths.tolist() == protocol.query.paths.tolist()


OWN = Options(modalities=layouts.MODALITIES)


def test_own_datasets_are_named_with_their_folder_or_table():
    words = ("a-1=data/x", "b_2=/y=z.csv")
    assert catalog.own_sources(words) == {"a-1": "data/x", "b_2": "/y=z.csv"}
    assert catalog.own_sources(()) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["site"], "config.data.own='site': must be NAME=FOLDER or NAME=TABLE"),
        (["site="], "must be NAME=FOLDER"),
        (["Site=x"], "a name of lower-case letters, digits, - and _"),
        (["=x"], "must be NAME=FOLDER"),
        (["sysu=x"], "there is a dataset sysu already; choose another name"),
        (["a=x", "a=y"], "config.data.own='a=y': there is a dataset a already"),
    ],
)
def test_refuses_other_words_for_own_datasets(words, said):
    with pytest.raises(InputError, match=said):
        catalog.own_sources(words)


def test_a_folder_and_a_table_of_it_are_the_same_own_dataset(tmp_path):
    root = layouts.write_own(tmp_path / "site")
    folder = catalog.load_own("site", root, OWN)
    paths = sorted(path.relative_to(root) for path in root.rglob("*.jpg"))
    rows = [
        f"{path},{path.parts[2]},{path.parts[1]},{path.parts[0]},{path.name[:2]}"
        for path in paths
    ]
    header = "path,identity,modality,split,camera"
    layouts.write_lines(root / "site.csv", [header, *rows])
    table = catalog.load_own("site", root / "site.csv", OWN)
    assert table.names == folder.names
    pairs = [
        (dataset.train, dataset.protocols["lifelong"]) for dataset in (folder, table)
    ]
    (train, lifelong), (other, another) = pairs
    assert sorted(
        zip(train.paths, train.identity, train.camera, strict=True)
    ) == sorted(zip(other.paths, other.identity, other.camera, strict=True))
    assert set(lifelong.query.paths) == set(another.query.paths)


def test_refuses_own_people_in_training_and_test_by_name(tmp_path):
    root = layouts.write_own(tmp_path)
    for modality in layouts.MODALITIES:
        layouts.touch(root / "train" / modality / "Zoë" / "c1_0.jpg")
    with pytest.raises(InputError, match="the query shows identity Zoë of the tr"):
        catalog.load_own("site", root, OWN)


def test_protocols_of_own_datasets_are_known_by_a_table_of_their_own():
    table = {"site": ("lifelong", "visible-to-thermal")}
    catalog.check_protocols(["all", "site/visible-to-thermal"], ["site"], table)
    with pytest.raises(InputError, match="there are all, site/lifelong, site/visi"):
        catalog.check_protocols(["site/thermal-to-visible"], ["site"], table)


@datasets
def test_surveys_every_image_that_a_loader_uses(name, tmp_path):
    root, options = layouts.WRITERS[name](tmp_path), Options(protocols=("all",))
    loaded = catalog.load(name, root, options)
    found = catalog.survey(name, root, options)
    for field in dataclasses.fields(loaded.train):
        mine, theirs = (getattr(x.train, field.name) for x in (found, loaded))
        assert np.array_equal(mine, theirs)
    for protocol in loaded.protocols.values():
        mine = found.protocols[protocol.name]
        assert np.array_equal(mine.query.paths, protocol.query.paths)
        assert np.array_equal(mine.gallery.paths, protocol.gallery.paths)
    listed = {path for t in found.splits.values() for path in t.paths.tolist()}
    assert {*loaded.train.paths.tolist()} <= listed
    assert all(Path(path).is_file() for path in listed)


@pytest.mark.parametrize("name", ["regdb", "llcm", "vcm"])
def test_surveys_without_images_or_name_lists(name, tmp_path):
    root, options = layouts.WRITERS[name](tmp_path), Options(protocols=("all",))
    whole = catalog.survey(name, root, options)
    for entry in catalog.LAYOUTS[name](options).entries:
        if entry not in catalog.LAYOUTS[name](options).lists:
            path = root / entry
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    alone = catalog.survey(name, root, options, index_only=True)
    for split, table in whole.splits.items():
        assert np.array_equal(alone.splits[split].identity, table.identity)
        assert np.array_equal(alone.splits[split].camera, table.camera)
        assert np.array_equal(alone.splits[split].tracklet, table.tracklet)
    for protocol in whole.protocols.values():
        mine = alone.protocols[protocol.name]
        assert np.array_equal(mine.gallery.identity, protocol.gallery.identity)
        assert mine.query.tracklet.tolist() == protocol.query.tracklet.tolist()
    with pytest.raises(InputError, match=r"lacks .*; point --root at"):
        catalog.survey(name, root, options)


def test_a_survey_needs_its_images(tmp_path):
    root = layouts.write_llcm(tmp_path)
    next((root / "vis" / "0891").iterdir()).unlink()
    with pytest.raises(InputError, match="LLCM: 1 of 30 images .*: vis/0891/"):
        catalog.survey("llcm", root, Options())
