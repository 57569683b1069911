"""Manifests: every file as it was, and nothing outside of the folder."""

import builtins
import errno
import hashlib
import io
import json
import os
from pathlib import Path

import jax
import pytest

from ckda_jax.engine import manifest
from ckda_jax.engine.manifest import Damage
from ckda_jax.files import write_json

FACTS = {"stage": 1, "step": 20}


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of two files with its manifest."""
    made = tmp_path / "20"
    (made / "state").mkdir(parents=True)
    (made / "state" / "a").write_bytes(b"abc")
    (made / "b").write_bytes(b"")
    manifest.write(made, FACTS)
    return made


def change(folder, **values):
    """Write other values into a manifest, and seal it."""
    content = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", manifest.sealed(content | values))


def test_a_manifest_tells_files_versions_and_devices(folder):
    content = manifest.verify(folder, FACTS)
    assert content["files"] == {
        "b": {"bytes": 0, "sha256": hashlib.sha256().hexdigest()},
        "state/a": {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()},
    }
    assert content["versions"]["jax"] == jax.__version__
    assert content["devices"] == jax.device_count()
    assert {name: content[name] for name in FACTS} == FACTS


def test_a_run_is_told_by_its_config_and_data(tmp_path):
    (tmp_path / "config.json").write_bytes(b"{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    assert manifest.run_facts(tmp_path) == {"config": digest, "data": None}


def flip(folder):
    """Flip one bit."""
    (folder / "state" / "a").write_bytes(b"abb")


def truncate(folder):
    """Cut a file off."""
    (folder / "state" / "a").write_bytes(b"ab")


def remove(folder):
    """Remove a file."""
    (folder / "b").unlink()


def make_folder(folder):
    """Put a folder in a file's place."""
    remove(folder)
    (folder / "b").mkdir()


def forget(folder):
    """Remove the manifest."""
    (folder / "manifest.json").unlink()


def garble(folder):
    """Write no JSON into the manifest."""
    (folder / "manifest.json").write_bytes(b"\xff{")


def alter(folder):
    """Change a version, of which nothing else depends."""
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"devices"', '"devides"'))


def nest(folder):
    """Write brackets within brackets into the manifest."""
    (folder / "manifest.json").write_text("[" * 100_000)


def grow(folder):
    """Make the manifest larger than any is, without using the room."""
    os.truncate(folder / "manifest.json", 2**40)


def leave(folder):
    """Name a file above the folder."""
    change(folder, files={"../c": {"bytes": 0, "sha256": ""}})


def go_to_root(folder):
    """Name a file by its absolute path."""
    change(folder, files={"/etc/passwd": {"bytes": 0, "sha256": ""}})


def link(folder):
    """Lead out of the folder, to a file of the same bytes."""
    remove(folder)
    (folder.parent / "outside").write_bytes(b"")
    (folder / "b").symlink_to(folder.parent / "outside")


def link_to_itself(folder):
    """Lead nowhere."""
    remove(folder)
    (folder / "b").symlink_to(folder / "b")


@pytest.mark.parametrize(
    ("injure", "said"),
    [
        (flip, "state/a has another SHA-256"),
        (truncate, "state/a has 2 bytes, not 3"),
        (remove, "b is missing"),
        (make_folder, "b is missing"),
        (forget, "manifest.json is missing"),
        (garble, "manifest.json cannot be read (UnicodeDecodeError)"),
        (alter, "manifest.json has another SHA-256"),
        (nest, "manifest.json cannot be read (RecursionError)"),
        (grow, "manifest.json is larger than 16777216 bytes"),
        (leave, "manifest.json names '../c', outside of the checkpoint"),
        (go_to_root, "manifest.json names '/etc/passwd', outside of the checkpoint"),
        (link, "b is a link out of the checkpoint"),
        (link_to_itself, "b "),  # how it reads depends on the version of Python
        (lambda folder: change(folder, format=2), "manifest.json is none of format 1"),
        (lambda folder: change(folder, files={}), "manifest.json lists no files"),
        (lambda folder: change(folder, files=[1]), "manifest.json lists no files"),
        (
            lambda folder: change(folder, files={"b": 1}),
            "manifest.json says nothing of 'b'",
        ),
        (
            lambda folder: change(folder, files={"\0": {"bytes": 0, "sha256": ""}}),
            "\0 cannot be read",
        ),
        (lambda folder: change(folder, step=21), "manifest.json is of step 21, not 20"),
    ],
)
def test_what_is_not_as_it_was_is_named(folder, injure, said):
    injure(folder)
    with pytest.raises(Damage) as caught:
        manifest.verify(folder, FACTS)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["b", "manifest.json"])
@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.EIO, Damage, r"^{} cannot be read \(Input/output error\)$"),
        (errno.ESTALE, OSError, "Stale file handle: .*/{}'$"),
        (errno.EACCES, PermissionError, "Permission denied: .*/{}'$"),
    ],
)
def test_what_cannot_be_read_now_is_not_damaged(
    folder, monkeypatch, file, number, kind, said
):
    original = io.open

    def refuse(path, *arguments, **options):
        if Path(path) == folder / file:
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *arguments, **options)

    monkeypatch.setattr(io, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(kind, match=said.format(file)):
        manifest.verify(folder, FACTS)


def test_facts_are_added_and_sealed(folder):
    manifest.add(folder, {"score": 0.5})
    manifest.add(folder, {"score": float("nan")})
    assert manifest.verify(folder, FACTS)["score"] is None


def test_a_manifest_too_large_to_be_read_is_not_written(folder, monkeypatch):
    before = (folder / "manifest.json").read_bytes()
    monkeypatch.setattr(manifest, "LARGEST", len(before))
    manifest.write(folder, FACTS)
    assert (folder / "manifest.json").read_bytes() == before
    with pytest.raises(OSError, match=rf"of 2 files is larger than {len(before)} byt"):
        manifest.write(folder, FACTS | {"more": "x"})
    assert manifest.verify(folder, FACTS)["stage"] == 1


def test_what_a_file_manager_leaves_does_no_harm(folder):
    (folder / ".DS_Store").write_bytes(b"x")
    assert manifest.verify(folder, FACTS)["stage"] == 1
