"""Searching a gallery: who is found, in words for programs and in a page."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ckda_jax import embed, search
from ckda_jax.retrieval.gallery import open_gallery
from tests import runs


@pytest.fixture(scope="module")
def folder(finished, world, tmp_path_factory) -> Path:
    """A gallery of SYSU's visible test images, beside the tables of images."""
    folder = tmp_path_factory.mktemp("search")
    for name, cameras in (("people", (1, 2)), ("queries", (3,))):
        rows = [
            f"{path},{path.parent.name},{camera}\n"
            for camera in cameras
            for path in sorted((world["sysu"] / f"cam{camera}").rglob("*.jpg"))
        ]
        (folder / f"{name}.csv").write_text("path,identity,camera\n" + "".join(rows))
    out, table = str(folder / "gallery"), str(folder / "people.csv")
    words = ["--workdir", str(finished), "--out", out, "--images", table]
    assert embed.main([*words, "--modality", "visible"]) == 0
    return folder


@pytest.fixture
def ask(folder, capsys):
    """Run a search; return its status, its lines and what it says on stderr."""

    def run(*words: str, modality: str = "infrared"):
        command = ["--gallery", str(folder / "gallery"), "--modality", modality]
        status = search.main([*command, *words])
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err

    return run


def test_each_query_has_a_line_of_json(ask, folder):
    status, lines, err = ask("--query", str(folder / "queries.csv"), "--top", "3")
    assert (status, err) == (0, "")
    table = (folder / "queries.csv").read_text().splitlines()[1:]
    assert [line["query"] for line in lines] == [row.split(",")[0] for row in table]
    first = lines[0]
    assert (first["modality"], first["camera"]) == ("infrared", "3")
    assert [answer["rank"] for answer in first["answers"]] == [1, 2, 3]
    assert set(first["answers"][0]) == {
        "rank", "path", "identity", "camera", "modality", "similarity"
    }  # fmt: skip
    similar = [answer["similarity"] for answer in first["answers"]]
    assert similar == sorted(similar, reverse=True)


def test_an_image_of_the_gallery_finds_itself(ask, folder):
    path = next(iter(open_gallery(folder / "gallery"))).path
    _, (line,), _ = ask("--query", path, "--top", "1", modality="visible")
    (answer,) = line["answers"]
    assert answer["path"] == path
    assert answer["similarity"] == pytest.approx(1, abs=1e-5)


def test_answers_of_the_own_camera_are_left_out(ask, folder):
    path = str(folder / "people.csv")
    rule = ("--camera-rule", "other-camera")
    status, lines, _ = ask("--query", path, *rule, "--top", "99", modality="visible")
    assert status == 0
    for line in lines:
        cameras = {answer["camera"] for answer in line["answers"]}
        assert cameras == {"1", "2"} - {line["camera"]}
    query = lines[0]["query"]
    _, (line,), _ = ask("--query", query, *rule, "--camera", "2", modality="visible")
    assert line["camera"] == "2"
    assert {answer["camera"] for answer in line["answers"]} == {"1"}


def test_the_page_shows_queries_and_answers(ask, folder, tmp_path):
    page = tmp_path / "page.html"
    words = ("--query", str(folder / "queries.csv"), "--top", "2", "--html", str(page))
    status, lines, _ = ask(*words)
    assert status == 0
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert text.count('class="shot query"') == len(lines)
    marked = re.findall(r'class="shot (right|wrong)"', text)
    right = [a["identity"] == li["identity"] for li in lines for a in li["answers"]]
    assert [mark == "right" for mark in marked] == right
    assert 'src="http' not in text and text.count("data:image/jpeg") == 3 * len(lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--top", "0"], "--top 0: must be at least 1"),
        (["--camera", "1"], "--camera 1 has no effect without --camera-rule"),
        (["--camera-rule", "other-camera"], "needs to know its camera; give --camera"),
        (["--stage", "1"], "stage 1 of"),
        (["--workdir", "/nowhere"], "is its folder that of a run?"),
        (["--modality", "depth"], "unknown modality 'depth'; choose one of visible"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(
    ask, folder, tmp_path, words, said
):
    path = next(iter(open_gallery(folder / "gallery"))).path
    status, lines, err = ask("--query", path, "--html", str(tmp_path / "p"), *words)
    assert (status, lines) == (2, [])
    assert err.startswith("error: ") and said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "p").exists()


def test_a_gallery_without_cameras_cannot_leave_any_out(
    finished, folder, tmp_path, capsys
):
    path = next(iter(open_gallery(folder / "gallery"))).path
    out = str(tmp_path / "gallery")
    words = ["--workdir", str(finished), "--out", out, "--modality", "visible"]
    assert embed.main([*words, "--images", path]) == 0
    rule = ["--camera-rule", "other-camera", "--camera", "1"]
    command = ["--gallery", out, "--query", path, "--modality", "visible", *rule]
    assert search.main(command) == 2
    assert "knows no cameras" in capsys.readouterr().err


def test_a_run_that_moved_is_asked_for(ask, folder, finished, tmp_path):
    gallery, path = tmp_path / "gallery", next(iter(open_gallery(folder / "gallery")))
    shutil.copytree(folder / "gallery", gallery)
    index = gallery / "gallery.json"
    index.write_text(index.read_text().replace(str(finished), "/moved/away"))
    words = ["--gallery", str(gallery), "--query", path.path]
    status, _, err = ask(*words)
    assert status == 2
    assert "made with a run in /moved/away, which is not there any more" in err
    status, lines, _ = ask(*words, "--workdir", str(finished))
    assert (status, len(lines)) == (0, 1)


def test_a_damaged_gallery_is_refused_and_its_command_rebuilds_it(
    ask, folder, finished, tmp_path, capsys
):
    gallery = tmp_path / "gallery"
    shutil.copytree(folder / "gallery", gallery)
    (vectors,) = (gallery / "blocks").glob("*.npy")
    vectors.write_bytes(vectors.read_bytes()[:-9])
    query = str(folder / "queries.csv")
    status, _, err = ask("--gallery", str(gallery), "--query", query)
    assert status == 2
    command = err.split("`")[1].replace("'", "").split()
    assert command[:3] == ["python", "-m", "ckda_jax.embed"]
    assert embed.main(command[3:]) == 0
    capsys.readouterr()
    _, wanted, _ = ask("--query", query)
    _, found, _ = ask("--gallery", f"{gallery}-rebuilt", "--query", query)
    assert [line["answers"][0]["path"] for line in found] == [
        line["answers"][0]["path"] for line in wanted
    ]


def test_searching_writes_nothing(ask, folder, finished):
    before = runs.listing(folder), runs.listing(finished)
    assert ask("--query", str(folder / "queries.csv"), "--verify")[0] == 0
    assert (runs.listing(folder), runs.listing(finished)) == before
