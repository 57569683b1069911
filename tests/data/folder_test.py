"""Folders of one's own: what is read off names, and how a wrong tree is explained."""

import pytest

from ckda_jax.data import folder
from ckda_jax.data.dataset import Options
from ckda_jax.structs import InputError
from tests.data.layouts import touch, write_own

OPTIONS = Options(modalities=("visible", "infrared", "thermal"), protocols=("all",))


@pytest.fixture
def root(tmp_path):
    """A folder of three modalities."""
    return write_own(tmp_path / "site")


def refusal(root, options=OPTIONS):
    with pytest.raises(InputError) as caught:
        folder.load("site", root, options)
    return str(caught.value).split("\n")


def test_images_are_found_with_split_modality_identity_and_camera(root):
    dataset = folder.load("site", root, OPTIONS)
    assert (dataset.name, dataset.root) == ("site", root)
    assert dataset.names.identities == ("2", "10", "Ann", "Zoë")
    assert dataset.names.cameras == ("c1", "c2")
    assert len(dataset.train) == 2 * 3 * 2
    assert dataset.train.paths[0] == f"{root}/train/visible/10/c1_0.jpg"
    assert len(dataset.protocols) == 7
    for protocol in dataset.protocols.values():
        assert len(protocol.query) == len(protocol.gallery) == 2 * 2
        assert protocol.rule == "own-camera"


def test_listing_is_apart_from_checking(tmp_path):
    touch(tmp_path / "train" / "thermal" / "ann" / "x.jpg")
    (entry,) = folder.list_entries(tmp_path, OPTIONS.modalities)
    assert entry == ("train/thermal/ann/x.jpg", "train", 2, "ann", "", "", "")


def test_suffixes_of_either_case_and_hidden_files(root):
    person = root / "test" / "visible" / "Ann"
    before = len(folder.load("site", root, OPTIONS).protocols["lifelong"].gallery)
    for name in (".DS_Store", "._c1_0.jpg", "notes.txt", "Thumbs.db"):
        touch(person / name)
    touch(root / ".git" / "x" / "y.jpg")
    touch(root / "README.md")
    for name in ("c1_7.JPG", "c1_8.PnG", "c1_9.bmp", "c1_10.jpeg"):
        touch(person / name)
    after = folder.load("site", root, OPTIONS).protocols["lifelong"].gallery
    assert len(after) == before + 4


def test_cameras_that_names_do_not_tell_are_unknown(root):
    for name in ("0001.jpg", "c-1_1.jpg", "_1.jpg"):
        touch(root / "test" / "visible" / "Ann" / name)
    dataset = folder.load("site", root, OPTIONS)
    gallery = dataset.protocols["infrared-to-visible"].gallery
    assert (gallery.camera == -1).sum() == 3
    assert dataset.protocols["infrared-to-visible"].rule == "standard"
    assert dataset.protocols["infrared-to-thermal"].rule == "own-camera"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("train/Infrared/2/a.jpg", "train/Infrared/, .* thermal (nearest: infrared);"),
        ("test/ir/2/a.jpg", "test/ir/, .* thermal (nearest: infrared);"),
        ("test/x/2/a.jpg", "test/x/, which is none of config.modalities, visible"),
        ("Query/visible/2/a.jpg", "holds Query/, .* gallery (nearest: query);"),
        (
            "val/visible/2/a.jpg",
            "holds val/, .*, gallery; rename what is",
        ),
        ("train/visible/a.jpg", "images outside the folder of an identity: train/v"),
        (
            "test/visible/Ann/c1/a.jpg",
            "inside that of an identity: test/visible/Ann/",
        ),
        ("query/visible/Ann/a.jpg", "needs images of the split test, or of query and"),
    ],
)
def test_a_wrong_tree_is_drawn_beside_the_expected_one(root, wrong, said):
    touch(root / wrong)
    first, *tree = refusal(root)
    for part in said.split(".*"):
        assert part in first
    assert tree[0].split() == ["expected", "found", "in", str(root)]
    columns = tree[0].index("found in")
    left = [line[:columns].strip() for line in tree[1:]]
    assert left[:5] == [
        "train/",
        "visible/",
        "IDENTITY/",
        "CAMERA_NAME.jpg or NAME.jpg",
        "infrared/",
    ]
    assert any(wrong.split("/")[0] in line[columns:] for line in tree)
    assert len(tree) <= folder.LINES + 2


def test_a_neighbouring_folder_that_fits_is_named(root):
    assert (
        f"one level above: set config.data.own=site={root}"
        in refusal(root / "train")[0]
    )
    assert (
        f"one level below: set config.data.own=site={root}" in refusal(root.parent)[0]
    )


def test_no_folder_at_all(root):
    absent = root / "empty" / "nowhere"
    assert refusal(absent)[0] == (
        f"site: {absent} does not exist; correct config.data.own=site={absent}"
    )
    touch(root / "site.zip")
    assert "is neither a folder nor a .csv" in refusal(root / "site.zip")[0]
    (root / "empty").mkdir()
    assert (
        "has none of the folders train, test, query, gallery;"
        in (refusal(root / "empty")[0])
    )
    touch(root / "odd" / "Train" / "x")
    assert "but Train/ (nearest: train)" in refusal(root / "odd")[0]


def test_a_survey_lists_what_a_wrong_tree_holds_all_the_same(root):
    whole = folder.survey(root, OPTIONS)
    assert sorted(whole.splits) == ["test", "train"]
    touch(root / "validation" / "visible" / "ann" / "1.jpg")
    said = []
    found = folder.survey(root, OPTIONS, said.append)
    assert "holds validation/, which is none of train, test" in str(said[0])
    assert found.train.paths.tolist() == whole.train.paths.tolist()
    with pytest.raises(InputError, match="validation/.*; rename what is there, or add"):
        folder.survey(root, OPTIONS)
    with pytest.raises(InputError, match="a folder has no index files"):
        folder.survey(root, OPTIONS, index_only=True)
