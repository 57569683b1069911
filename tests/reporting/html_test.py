"""The report is one sound file, whatever the run has left."""

import base64
import io
import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ckda_jax.files import write_json
from ckda_jax.reporting import html, thumbnails
from ckda_jax.reporting.markup import VOID
from ckda_jax.structs import InputError
from tests.reporting.fake_run import TERMS, results, write_run


class Page(HTMLParser):
    """Collects what a page is made of, and insists that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.links, self.texts = [], [], [], []
        self.ids, self.references, self.styles = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.images += [values["src"]] if tag == "img" else []
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            if name in values:
                self.references.append(values[name])

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.styles if self.open[-1:] == ["style"] else self.texts).append(data)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "four & more"
    write_run(path)
    return path


@pytest.fixture(scope="module")
def text(workdir):
    path = html.write_report(workdir)
    assert path == workdir / "report.html"
    return path.read_text(encoding="utf-8")


def test_page_is_sound_and_small(text):
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert len(page.ids) == len(set(page.ids))
    assert len(text) < 5_000_000
    assert "<script" not in text


def test_nothing_is_fetched(text):
    page = Page(text)
    assert "http" not in text and "//" not in "".join(page.styles)
    for reference in page.references:
        assert reference.startswith(("data:image/", "#"))
    for reference in page.references:
        if reference.startswith("#"):
            assert reference[1:] in page.ids
    assert "@import" not in text


def test_embedded_images_decode(text):
    images = Page(text).images
    # 4 datasets: 3 queries with 10 gallery images, and 3 x 2 prompt rows of 3.
    assert len(images) == 4 * (33 + 18)
    for uri in images:
        head, body = uri.split(",", 1)
        image = Image.open(io.BytesIO(base64.b64decode(body)))
        assert image.format == ("PNG" if "png" in head else "JPEG")
        assert image.size == (64, 128)


def test_page_says_what_the_run_was(text):
    words = Page(text).texts
    title = "four & more: lifelong visible-infrared re-identification"
    assert words.count(title) == 2
    for word in ("ckda", "regdb → sysu → llcm → vcm", "1600", "optim.lr", "0.0003"):
        assert word in words
    average = results()["summary"]["mAP"]["seen_average"][-1]
    assert f"{100 * average:.1f}" in words
    assert set(TERMS) <= set(words)


def test_page_says_why_there_is_no_average(text, tmp_path):
    run = results()
    average = run["summary"]["mAP"]["seen_average"]
    run["summary"]["mAP"]["seen_average"] = [*average[:-1], None]
    write_json(tmp_path / "results.json", run)
    page = Page(html.write_report(tmp_path).read_text(encoding="utf-8"))
    assert any("that names them in config.eval_only" in word for word in page.texts)
    assert "There is no average" not in text


def test_without_images_no_pixel_is_embedded(workdir):
    text = html.write_report(workdir, images=False).read_text(encoding="utf-8")
    html.write_report(workdir)
    page = Page(text)
    assert "jpeg" not in text and str(workdir) not in text
    # What is left are prompt maps, all in the colours of the heat map.
    assert len(page.images) == 4 * 12
    allowed = {tuple(c) for c in thumbnails.palette().tolist()}
    for uri in page.images:
        content = base64.b64decode(uri.split(",", 1)[1])
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert {tuple(c) for c in pixels.reshape(-1, 3).tolist()} <= allowed
    assert "Images are left out" in text


@pytest.mark.parametrize(
    "gone, sentence",
    [
        ("results.json", "has not been evaluated yet"),
        ("metrics.jsonl", "No loss term has been logged yet"),
        ("examples", "has left no ranked lists"),
        ("config.json", "has left no config"),
        ("world", "Ranked lists"),
    ],
)
def test_missing_pieces_are_said(workdir, tmp_path, gone, sentence):
    path = tmp_path / "run"
    shutil.copytree(workdir, path, ignore=shutil.ignore_patterns(gone))
    text = html.write_report(path).read_text(encoding="utf-8")
    assert sentence in "".join(Page(text).texts)


def test_empty_directory_gives_a_page(tmp_path):
    page = Page(html.write_report(tmp_path).read_text(encoding="utf-8"))
    text = "".join(page.texts)
    for said in ("evaluated yet", "term has been logged yet", "left no config"):
        assert said in text


def test_missing_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        html.write_report(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_hostile_names_stay_text(tmp_path):
    bad = '</style><script>alert("x")</script>'
    run = results()
    run["method"] = run["preset"] = bad
    run["datasets"] = [bad]
    run["stages"] = [[bad]]
    for row in run["evaluations"]:
        row["dataset"] = bad
    run["evaluations"] = run["evaluations"][:8:4]
    write_json(tmp_path / "results.json", run)
    write_json(tmp_path / "config.json", {bad: {bad: bad}})
    rows = [{"stage": 0, "step": s, "epoch": 1, f"loss/{bad}": 1.0} for s in (1, 2)]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(lines)
    text = html.write_report(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in text
    assert bad in Page(text).texts


def test_joint_run(tmp_path):
    run = results("joint")
    run["stages"] = [list(run["datasets"])]
    run["evaluations"] = [
        {**row, "stage": 0, "seen": True} for row in run["evaluations"][:4]
    ]
    run["summary"] = {"mAP": {"seen_average": [0.1], "forgetting": [None]}}
    write_json(tmp_path / "results.json", run)
    text = html.write_report(tmp_path).read_text(encoding="utf-8")
    assert "after stage 1 (4 datasets)" in Page(text).texts
