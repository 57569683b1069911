"""The package's own three calls, imported when they are asked for."""

import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

import ckda_jax
from ckda_jax import embed
from ckda_jax.build.inference import load_model
from ckda_jax.retrieval.gallery import open_gallery
from tests import runs


def test_public_functions_are_those_of_their_modules():
    assert ckda_jax.load_model is load_model
    assert ckda_jax.open_gallery is open_gallery


def test_other_names_are_unknown():
    with pytest.raises(AttributeError, match="has no attribute 'open_galery'"):
        getattr(ckda_jax, "open_galery")  # noqa: B009


def test_the_calls_in_the_documents_run(finished, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "smoke").symlink_to(finished)
    (tmp_path / "night").mkdir()
    images = sorted((world["sysu"] / "cam3").rglob("*.jpg"))
    for number in (1, 2):
        shutil.copy(images[number], tmp_path / "night" / f"{number}.png")
    words = "--workdir runs/smoke --images night --modality infrared --out gallery"
    assert embed.main(words.split()) == 0
    text = (runs.ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    found = [[answer.path for answer in ranked] for ranked in names["answers"]]
    paths = [str(tmp_path / "night" / f"{number}.png") for number in (1, 2)]
    assert found == [paths, paths[::-1]]


def test_importing_the_package_imports_nothing_heavy():
    text = "import sys, ckda_jax; print('jax' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=runs.ROOT, capture_output=True, text=True
    )
    assert done.stdout == "False False\n"
