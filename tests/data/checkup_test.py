import itertools
import json
import shutil

import pytest

from ckda_jax.data.__main__ import main
from tests.data import layouts
from tests.data.damage import CAUSES, damage

TITLES = [
    "tree",
    "index files",
    "missing images",
    "images",
    "identities in one modality only",
    "duplicate images",
    "identities in two splits",
    "protocols",
    "counts against the published ones",
]


def check(name, root, *options) -> list[str]:
    """Write the command."""
    return ["check", name, "--root", str(root), "--threads", "2", *options]


def examined(capsys, name, root, *options) -> tuple[int, dict[str, list[str]]]:
    """Run the command; return its status and the problems by section."""
    status = main(check(name, root, "--json", *options))
    said = json.loads(capsys.readouterr().out)
    problems = {s["title"]: s["problems"] for s in said["sections"]}
    assert said["problems"] == sum(map(len, problems.values()))
    assert (status == 1) == (said["problems"] > 0)
    return status, {title: lines for title, lines in problems.items() if lines}


@pytest.mark.parametrize("name", layouts.WRITERS)
def test_a_sound_dataset_has_no_problem(name, tmp_path, capsys):
    root = layouts.paint(layouts.WRITERS[name](tmp_path))
    assert main(check(name, root)) == 0
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if line[:1] not in (" ", "")]
    assert lines == [
        *(f"{title}: no problem" for title in TITLES),
        f"{name} in {root}: no problem",
    ]
    assert "a subset or a synthetic world, not compared" in said.out
    assert "checking: " in said.err


def test_all_images_that_cannot_be_used_are_listed_in_one_run(tmp_path, capsys):
    root = layouts.paint(layouts.write_llcm(tmp_path))
    paths = [*sorted((root / "vis").rglob("*.jpg")), *(root / "nir" / "0250").iterdir()]
    for path, kind in zip(paths, CAUSES, strict=False):
        damage(path, kind)
    status, problems = examined(capsys, "llcm", root)
    assert status == 1
    assert list(problems) == ["images"]
    found = {line.partition(": ")[0]: line for line in problems["images"]}
    assert len(found) == len(CAUSES)
    for path, cause in zip(paths, CAUSES.values(), strict=False):
        assert cause in found[str(path.relative_to(root))]
    assert main(check("llcm", root, "--no-decode")) == 0
    assert "images, not decoded: no problem" in capsys.readouterr().out


def test_problems_of_every_kind_are_found_in_one_run(tmp_path, capsys):
    root = layouts.paint(layouts.write_regdb(tmp_path))
    (root / "Thermal" / "2").rename(root / "Thermal" / "two")
    faces = sorted((root / "Visible" / "4").iterdir())
    shutil.copy(faces[0], next((root / "Visible" / "30").iterdir()))
    faces[1].write_bytes(b"")
    index = root / "idx" / "train_visible_1.txt"
    layouts.edit_line(index, 1, "nothing")
    layouts.edit_line(index, 2, "Visible/4/male_back_v_00010_4.bmp 0")
    (root / "idx" / "test_thermal_1.txt").rename(root / "test_thermal_1.txt")
    status, problems = examined(capsys, "regdb", root)
    assert status == 1
    assert problems["tree"] == ["idx/test_thermal_1.txt is missing"]
    causes = ["line 1: 'nothing' has no label", "line 3: 'Visible/9/", "line 1: 'Ther"]
    for line, cause in zip(problems["index files"], causes, strict=False):
        assert cause in line
    assert len(problems["missing images"]) == 3
    assert [line.partition(": ")[2][:17] for line in problems["images"]] == [
        "the file is empty"
    ]
    lonely = "\n".join(problems["identities in one modality only"])
    assert "train: identity 2 has no infrared image" in lonely
    assert "test: there is no infrared image at all" in lonely
    shared = problems["duplicate images"]
    assert any("(train, identity 30)" in line for line in shared)
    assert problems["identities in two splits"][0].startswith("identity 4 is in train")
    assert "protocol lifelong: no query has" in "".join(problems["protocols"])


def test_advice_and_the_number_shown_are_for_people(tmp_path, capsys):
    root = layouts.paint(layouts.write_llcm(tmp_path))
    (root / "nir").rename(root / "NIR")
    (root / "idx" / "test_id.txt").touch()
    assert main(check("llcm", root)) == 1
    said = capsys.readouterr().out
    assert "  ! nir/ is missing\n  - rename NIR/ to nir/\n" in said
    assert "missing images: 10 problems" in said
    shutil.rmtree(root / "vis")
    assert main(check("llcm", root)) == 1
    said = capsys.readouterr().out
    assert "  ! ... and 10 more (--all)\n" in said
    assert said.count(".jpg is missing") == 20
    assert main(check("llcm", root, "--all")) == 1
    assert capsys.readouterr().out.count(".jpg is missing") == 30


def test_a_dataset_in_a_neighbouring_folder_is_pointed_at(tmp_path, capsys):
    layouts.write_sysu(tmp_path / "ori_data")
    assert main(check("sysu", tmp_path)) == 1
    said = capsys.readouterr().out
    assert f"the dataset seems to lie in {tmp_path / 'ori_data'}: give it" in said
    assert "none is listed; nothing else to look at" in said


def test_permutations_tell_which_images_of_sysu_are_missing(tmp_path, capsys):
    from tests.data import permutations_test

    root = layouts.paint(layouts.write_sysu(tmp_path))
    permutations_test.write(root / "exp" / "rand_perm_cam.mat")
    _, problems = examined(capsys, "sysu", root)
    lines = problems["missing images"]
    assert "cam2/0002 holds 3 images, but rand_perm_cam.mat orders 0" in lines
    assert not any(line.startswith("cam1/0002 ") for line in lines)
    (root / "exp" / "rand_perm_cam.mat").write_bytes(b"")
    _, problems = examined(capsys, "sysu", root)
    assert "cannot be read" in problems["missing images"][0]


def test_differing_counts_are_problems_only_if_asked(tmp_path, capsys):
    root = layouts.paint(layouts.write_vcm(tmp_path))
    status, problems = examined(capsys, "vcm", root, "--published")
    assert status == 1
    assert list(problems) == ["counts against the published ones"]
    lines = problems["counts against the published ones"]
    assert "train, visible: 2 identities, published 500" in lines
    assert "protocol lifelong: 4 queries, published 4,584" in lines


def write_own(root):
    """Write a folder of a site: ann and bob to train, eve and dan to test."""
    for split, people in (("train", ("ann", "bob")), ("test", ("eve", "dan"))):
        for modality, person in itertools.product(("visible", "infrared"), people):
            for name in (f"c{len(modality)}_1.jpg", f"c{len(modality)}_2.jpg"):
                layouts.touch(root / split / modality / person / name)
    return layouts.paint(root)


def test_a_folder_of_ones_own_is_checked(tmp_path, capsys):
    root = write_own(tmp_path)
    assert main(check("folder", root)) == 0
    said = capsys.readouterr().out
    assert "    visible/" in said and "none are published of folder" in said
    damage(root / "test" / "visible" / "eve" / "c7_1.jpg", "empty")
    shutil.rmtree(root / "train" / "infrared" / "bob")
    copied = root / "train" / "visible" / "ann"
    shutil.copy(next(copied.iterdir()), root / "test" / "visible" / "dan" / "c7_3.jpg")
    _, problems = examined(capsys, "folder", root)
    assert "no infrared training images of identity bob" in problems["index files"][0]
    assert problems["images"][0].startswith("test/visible/eve/c7_1.jpg: the file is em")
    (lonely,) = problems["identities in one modality only"]
    assert lonely.startswith("train: identity bob has no infrared image")
    (copy,) = problems["duplicate images"]
    assert "(train, identity ann)" in copy and "(test, identity dan)" in copy


def test_a_table_of_ones_own_is_checked_row_by_row(tmp_path, capsys):
    write_own(tmp_path)
    paths = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.jpg"))
    rows = [f"{path},{path.parts[2]},{path.parts[1]},{path.parts[0]}" for path in paths]
    header = "path,identity,modality,split"
    file = tmp_path / "list.csv"
    layouts.write_lines(file, [header, *rows])
    assert main(check("table", file)) == 0
    assert "16 of 16 listed images are there" in capsys.readouterr().out
    wrong = [f"{paths[0]},ann,radar,train", "none.jpg,dan,visible,test", "a,,b,c"]
    layouts.write_lines(file, [header, *rows[1:], *wrong])
    _, problems = examined(capsys, "table", file)
    first, second = problems["index files"]
    assert "line 17: modality 'radar' is none of" in first
    assert "line 19: identity is empty" in second
    assert problems["missing images"] == ["none.jpg is missing"]
    assert main(check("table", tmp_path)) == 2
    assert "is not a table; give the table" in capsys.readouterr().err


def test_a_prepared_root_has_no_images_to_check(tmp_path, capsys):
    root = layouts.paint(layouts.write_regdb(tmp_path / "raw"))
    out = tmp_path / "prepared"
    order = ["--root", str(root), "--out", str(out), "--size", "16", "8"]
    assert main(["prepare", "regdb", *order]) == 0
    assert main(check("regdb", out)) == 2
    assert f"--root {out} is prepared" in capsys.readouterr().err
    assert main(["describe", "regdb", "--root", str(out)]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "market", "--root", "/"], "no dataset 'market'; choose one of"),
        (check("regdb", "/no/where"), "--root /no/where does not exist"),
        (check("regdb", __file__), "is not a folder"),
        (check("regdb", "/", "--trial", "11"), "--trial 11: RegDB has trials 1 to 10"),
        (check("regdb", "/", "--threads", "0"), "--threads 0: at least 1"),
    ],
)
def test_unusable_arguments_are_one_line_and_status_2(capsys, arguments, said):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1
