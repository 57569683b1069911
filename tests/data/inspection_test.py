import hashlib

import pytest
from PIL import Image

from ckda_jax.data.inspection import AHEAD, Finding, inspect, inspect_all
from tests.data.damage import CAUSES, PIXELS, damage


@pytest.mark.parametrize("kind", CAUSES)
def test_finds_what_is_wrong_with_each_kind(tmp_path, kind):
    path = tmp_path / "image.jpg"
    damage(path, kind)
    finding = inspect(str(path))
    if kind == "grey":
        assert (finding.grey, finding.problem) == (True, "")
        return
    assert CAUSES[kind] in finding.problem
    assert "; " in finding.problem
    assert str(tmp_path) not in finding.problem
    assert "\n" not in finding.problem


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.bmp", "a.png"])
def test_a_sound_image_is_digested(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(PIXELS).save(path)
    digest = hashlib.blake2b(path.read_bytes()).digest()[:16]
    assert inspect(str(path)) == Finding(str(path), digest)


def test_what_cannot_be_read_has_no_digest(tmp_path):
    finding = inspect(str(tmp_path / "none.jpg"), decode=False)
    assert finding.digest == b""
    assert finding.problem.startswith("cannot be read (No such file")


def test_without_decoding_only_reading_fails(tmp_path):
    damage(tmp_path / "a.jpg", "html")
    assert inspect(str(tmp_path / "a.jpg"), decode=False).problem == ""


def test_inspects_in_order_in_threads_and_tells_how_far_it_is(tmp_path):
    paths = []
    for number in range(2 * AHEAD + 3):
        path = tmp_path / f"{number}.bmp"
        Image.fromarray(PIXELS + number).save(path)
        paths.append(str(path))
    (tmp_path / "70.bmp").write_bytes(b"BM")
    counts = []
    found = list(
        inspect_all(paths, threads=2, progress=lambda *count: counts.append(count))
    )
    assert [finding.path for finding in found] == paths
    assert len({finding.digest for finding in found}) == len(paths)
    assert [f.path for f in found if f.problem] == [str(tmp_path / "70.bmp")]
    assert counts == [(n, len(paths)) for n in range(1, len(paths) + 1)]
