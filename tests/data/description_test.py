import json

import pytest

from ckda_jax.data import catalog
from ckda_jax.data.__main__ import main
from ckda_jax.data.dataset import Options
from ckda_jax.data.description import sentence
from tests.data import layouts
from tests.data.indexes import real_indexes


def described(capsys, *arguments) -> dict:
    """Run the command; return its JSON."""
    assert main(["describe", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_prints_counts_of_every_split_modality_and_camera(tmp_path, capsys):
    root = layouts.write_sysu(tmp_path)
    said = described(capsys, "sysu", "--root", root)
    assert said["name"] == "sysu"
    assert list(said["splits"]) == ["train", "val", "test", "trained on"]
    assert said["splits"]["test"]["visible"] == {
        "identities": 2,
        "images": 18,
        "cameras": {
            "1": {"identities": 1, "images": 3, "tracklets": 0},
            "2": {"identities": 1, "images": 3, "tracklets": 0},
            "4": {"identities": 2, "images": 6, "tracklets": 0},
            "5": {"identities": 2, "images": 6, "tracklets": 0},
        },
        "tracklets": 0,
        "long_tracklets": 0,
    }
    assert said["splits"]["trained on"]["infrared"]["images"] == 15
    search = said["protocols"]["indoor-single"]
    assert (search["queries"], search["gallery"], search["trials"]) == (9, 2, 10)
    assert (search["valid"], search["affected"]) == (6, 3)


def test_prints_tables_and_a_line_for_each_protocol(tmp_path, capsys):
    root = layouts.write_vcm(tmp_path)
    assert main(["describe", "vcm", "--root", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"vcm  {root}"
    rows = [line.split() for line in lines]
    assert ["train", "visible", "2", "116", "8", "4", "1:4", "2:4"] in rows
    assert ["trained", "on", "infrared", "2", "12", "4", "3:2", "4:2"] in rows
    assert ["lifelong", "4", "4", "1", "4", "0"] in rows
    assert lines[-1].startswith("visible-to-infrared-first-frame: visible (cameras")


def test_index_files_are_enough(tmp_path, capsys):
    root = layouts.write_regdb(tmp_path, trial=3)
    for image in root.rglob("*.bmp"):
        image.unlink()
    arguments = ["regdb", "--root", root, "--trial", "3"]
    assert main(["describe", *map(str, arguments)]) == 2
    assert "30 of 30 images named by the index files" in capsys.readouterr().err
    said = described(capsys, *arguments, "--index-only")
    assert said["splits"]["train"]["infrared"]["images"] == 9


def test_sysu_is_counted_by_its_permutations(capsys, tmp_path):
    real = real_indexes("SYSU-MM01")
    root = tmp_path / "SYSU"
    (root / "exp").mkdir(parents=True)
    for split in ("train", "val", "test"):
        name = f"exp/{split}_id.txt"
        (root / name).write_bytes((real / name).read_bytes())
    permutations = real / "exp" / "rand_perm_cam.mat"
    arguments = ["sysu", "--root", root, "--index-only"]
    assert main(["describe", *map(str, arguments)]) == 2
    assert "name it by --permutations" in capsys.readouterr().err
    said = described(capsys, *arguments, "--permutations", permutations)
    assert said["protocols"]["indoor-multi"] == {
        "queries": 3803,
        "gallery": 1120,
        "trials": 10,
        "valid": 2208,
        "affected": 1883,
        "description": "infrared (cameras 3, 6: up to 26 images of an identity under"
        " each) in visible (cameras 1, 2: up to 10 images of an identity under each)."
        " Remove all of camera 2 for a query of camera 3: both film one room of"
        " SYSU-MM01; identity CMC.",
    }


@pytest.mark.parametrize(
    ("name", "protocol", "said"),
    [
        (
            "llcm",
            "infrared-to-visible",
            "infrared (cameras 6: up to 2 images of an identity under each) in visible"
            " (cameras 3, 9: one image of an identity under each). Remove images of the"
            " query's identity under the query's camera; identity CMC.",
        ),
        (
            "vcm",
            "visible-to-infrared",
            "visible (cameras 1, 2: one tracklet of an identity under each) in infrared"
            " (cameras 3, 4: one tracklet of an identity under each). Remove images of"
            " the query's identity under the query's camera; standard CMC.",
        ),
    ],
)
def test_a_sentence_says_who_is_searched_for_where(tmp_path, name, protocol, said):
    root = layouts.WRITERS[name](tmp_path)
    found = catalog.survey(name, root, Options(protocols=("all",)))
    assert sentence(found.protocols[protocol]) == said


def test_bad_input_is_one_line_before_the_tree(tmp_path, capsys):
    layouts.write_llcm(tmp_path / "LLCM")
    assert main(["describe", "llcm", "--root", str(tmp_path)]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert f"one level below: set --root={tmp_path / 'LLCM'}" in first
    assert main(["describe", "market", "--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: no dataset 'market'; choose")


def test_ones_own_images_are_described_by_their_names(tmp_path, capsys):
    for split, person in (("train", "ann"), ("test", "eve")):
        for modality, name in (("visible", "c1_1.jpg"), ("near", "1.jpg")):
            layouts.touch(tmp_path / split / modality / person / name)
    arguments = ["folder", "--root", tmp_path, "--modalities", "visible", "near"]
    said = described(capsys, *arguments)
    assert list(said["splits"]["train"]) == ["visible", "near"]
    assert list(said["splits"]["test"]["near"]["cameras"]) == ["unknown"]
    assert said["splits"]["test"]["visible"]["cameras"]["c1"]["images"] == 1
    search = said["protocols"]["near-to-visible"]
    assert (search["queries"], search["valid"]) == (1, 1)
    assert search["description"].startswith("near (cameras unknown: one image of an")
    assert main(["describe", *map(str, arguments)]) == 0
    assert "c1:1" in capsys.readouterr().out
    assert main(["describe", *map(str, arguments), "--index-only"]) == 2
    assert "a folder has no index files" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["describe", "check"])
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["visible", "infrared", "visible"], "must be two different names or more"),
        (["visible"], "must be two different names or more"),
        (["visible", "infrared", ".."], "'..' is no name of a modality"),
    ],
)
def test_names_that_no_run_accepts_are_refused(tmp_path, capsys, command, names, said):
    words = ["folder", "--root", str(tmp_path), "--modalities", *names]
    assert main([command, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --modalities {' '.join(names)}: {said}")
