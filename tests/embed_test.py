"""Embedding into a gallery: once each, in blocks, gone on with after any end."""

import collections
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ckda_jax import embed
from ckda_jax.build.inference import load_model
from ckda_jax.retrieval.gallery import open_gallery
from tests import runs


@pytest.fixture
def images(world, tmp_path) -> Path:
    """A folder of ten visible images, which may be changed."""
    folder = tmp_path / "images"
    folder.mkdir()
    found = sorted((world["sysu"] / "cam1").rglob("*.jpg"))
    found += sorted((world["sysu"] / "cam2").rglob("*.jpg"))
    for number, path in enumerate(found[:10]):
        shutil.copy(path, folder / f"{number}.jpg")
    return folder


def words(workdir: Path, out: Path, *more: str) -> list[str]:
    """Write a command line."""
    return ["--workdir", str(workdir), "--out", str(out), *more]


def test_images_are_embedded_once(finished, images, tmp_path, capsys):
    out = tmp_path / "gallery"
    command = words(finished, out, "--images", str(images), "--block", "4")
    command += ["--modality", "visible"]
    assert embed.main(command) == 0
    told = capsys.readouterr().out
    assert told == f"{out}: 10 embedded, 0 were there already; 10 in all\n"
    gallery = open_gallery(out, verify=True)
    model = load_model(finished)
    assert gallery.index.model.digest == model.digest
    assert (gallery.index.width, gallery.index.dtype) == (12, "float32")
    paths = [entry.path for entry in gallery]
    assert paths == [str(images / f"{number}.jpg") for number in range(10)]
    wanted = model.embed(paths, "visible")
    np.testing.assert_allclose(np.concatenate(gallery.vectors), wanted, atol=1e-5)

    shutil.copy(images / "3.jpg", images / "5.jpg")
    shutil.copy(images / "3.jpg", images / "new.jpg")
    assert embed.main(command) == 0
    told = capsys.readouterr().out
    assert told == (
        f"{out}: 2 embedded (1 of them in place of older ones), 9 were there already; "
        "11 in all\n"
    )
    assert embed.main([*command, "--stage", "1"]) == 2
    assert "which do not compare with those of" in capsys.readouterr().err
    assert len(open_gallery(out)) == 11


@pytest.mark.slow
def test_two_processes_embed_what_one_does(finished, images, tmp_path):
    table, out = images / "table.csv", tmp_path / "gallery"
    rows = [f"{n}.jpg,{('visible', 'infrared')[n % 3 == 0]}\n" for n in range(9)]
    table.write_text("path,modality\n" + "".join(rows))
    command = words(finished, out, "--images", str(table), "--block", "5")
    done = subprocess.run(
        [str(runs.ROOT / "launch" / "local.sh"), "2", *runs.command("embed", command)],
        # Compiled in earnest: compiled quickly, its collectives abort at times.
        env=runs.environment(tmp_path / "cache") | {"XLA_FLAGS": ""},
        cwd=runs.ROOT,
        text=True,
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    told = f"{out}: 9 embedded, 0 were there already; 9 in all"
    ends = [line for line in done.stdout.splitlines() if "in all" in line]
    assert ends == [f"[0] {told}"]
    gallery, model = open_gallery(out, verify=True), load_model(finished)
    for entry, vector in zip(gallery, np.concatenate(gallery.vectors), strict=True):
        (wanted,) = model.embed([entry.path], str(entry.modality))
        np.testing.assert_allclose(vector, wanted, atol=1e-5)


def test_a_table_says_whose_images_they_are(finished, images, tmp_path, capsys):
    table, out = images / "table.csv", tmp_path / "gallery"
    rows = [f"{n}.jpg,{n % 3},{n % 2},visible\n" for n in range(6)]
    table.write_text("path,identity,camera,modality\n" + "".join(rows))
    with table.open("a") as file:
        file.write("6.jpg,9,,infrared\n")
    command = words(finished, out, "--images", str(table), "--dtype", "float16")
    assert embed.main(command) == 0
    gallery = open_gallery(out)
    assert [(e.identity, e.camera, e.modality) for e in gallery][4:] == [
        ("1", "0", "visible"),
        ("2", "1", "visible"),
        ("9", None, "infrared"),
    ]
    assert gallery.vectors[0].dtype == np.float16
    model = load_model(finished)
    through_infrared = model.embed([images / "6.jpg"], "infrared")[0]
    np.testing.assert_allclose(gallery.vectors[0][6], through_infrared, atol=1e-3)

    capsys.readouterr()
    assert embed.main(["--out", str(out), "--remove-identity", "1", "9"]) == 0
    assert capsys.readouterr().out == f"{out}: 3 removed; 4 in all\n"
    both = [f"{images}/{name}" for name in ("0.jpg", "3.*")]
    assert embed.main(["--out", str(out), "--remove-path", *both]) == 0
    assert [entry.path for entry in open_gallery(out)] == [
        str(images / name) for name in ("2.jpg", "5.jpg")
    ]
    assert embed.main(["--out", str(out), "--remove-identity", "1"]) == 2
    said = f"error: {out} holds no identity '1'; it holds 2\n"
    assert capsys.readouterr().err == said
    for gone in ("gone.jpg", f"{images}/[2].jpg"):
        assert embed.main(["--out", str(out), "--remove-path", gone]) == 2
        assert f"{gone}; it holds" in capsys.readouterr().err


def test_a_bad_image_stops_or_is_left_out(finished, images, tmp_path, capsys):
    (images / "7.jpg").write_bytes((images / "7.jpg").read_bytes()[:300])
    out = tmp_path / "gallery"
    command = words(finished, out, "--images", str(images), "--block", "4")
    command += ["--modality", "visible"]
    assert embed.main(command) == 2
    # On a slow machine progress is told before.
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {images}/7.jpg: cannot be decoded")
    assert len(open_gallery(out)) == 4
    assert embed.main([*command, "--bad-images", "skip"]) == 0
    told = capsys.readouterr()
    assert f"left out: {images}/7.jpg: cannot be decoded" in told.err
    assert told.out == (
        f"{out}: 5 embedded, 4 were there already, 1 cannot be read; 9 in all\n"
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "give --workdir and --images, or what to remove"),
        (["--images", "a", "--remove-identity", "3"], "do one at once"),
        (["--images", "gone"], "gone: no such file or folder"),
        (["--images", __file__], "of which modality? Give --modality, one of visible"),
        (["--images", __file__, "--block", "0"], "--block 0: must be at least 1"),
        (
            ["--images", __file__, "--modality", "visible", "--stage", "7"],
            "is not finished; finished: 1, 2",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    finished, tmp_path, capsys, more, said
):
    out = tmp_path / "gallery"
    assert embed.main(words(finished, out, *more)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_progress_is_told_every_few_seconds(capsys, monkeypatch):
    monkeypatch.setattr(embed, "QUICK", 0.0)
    clock = iter(range(100))
    monkeypatch.setattr(embed.time, "monotonic", lambda: next(clock))
    tell = embed._Teller(Console(width=99), 400)
    tell.skipped = 50
    tell(60, 40)
    assert capsys.readouterr().out.startswith(
        "100 of 400 images (50 were there already)  "
    )


def test_the_summary_counts():
    counts = collections.Counter(added=1200, skipped=3, bad=2)
    assert embed.summary(counts) == (
        "1,200 embedded, 3 were there already, 2 cannot be read"
    )
