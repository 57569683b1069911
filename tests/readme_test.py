"""The documents: their commands name things that exist, their links lead somewhere."""

import re
from pathlib import Path

import pytest

from ckda_jax.config import flatten, load

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
INSTALL_AND_RUN = (
    "python3 -m venv .venv && .venv/bin/pip install -e . && "
    ".venv/bin/python -m ckda_jax.train --config configs/synthetic.py "
    "--workdir runs/synthetic"
)
INSTALL_AND_TEST = (
    'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest'
)


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def document(request) -> tuple[Path, str]:
    """One document and its text."""
    return request.param, request.param.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [INSTALL_AND_RUN, INSTALL_AND_TEST])
def test_readme_gives_the_two_commands_as_lines_of_their_own(command):
    assert command in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()


def test_links_lead_to_files(document):
    path, text = document
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing


def test_named_files_exist(document):
    _, text = document
    named = r"\b(?:configs|tests|docs|launch|benchmarks)/[\w/.-]*\.(?:py|sh|md)\b"
    missing = [name for name in re.findall(named, text) if not (ROOT / name).exists()]
    assert not missing


def test_named_modules_exist(document):
    _, text = document
    for name in set(re.findall(r"python -m ckda_jax\.([\w.]+\w)", text)):
        place = ROOT / "ckda_jax" / name.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


def test_named_keys_and_presets_exist(document):
    _, text = document
    keys = flatten(load(f"{ROOT}/configs/common.py"))
    named = set(re.findall(r"--config\.([a-z_.]*[a-z_])=", text))
    assert named <= keys.keys()
    for name, preset in re.findall(r"configs/(\w+)\.py:(\w+)", text):
        assert load(f"{ROOT}/configs/{name}.py:{preset}").preset == preset


def test_layout_in_the_readme_names_what_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split("## Where things are")[1].split("```")[1]
    folders = set(re.findall(r"^ *(\w+)/", block, flags=re.MULTILINE))
    places = [(ROOT / name, ROOT / "ckda_jax" / name) for name in folders]
    assert all(any(place.is_dir() for place in pair) for pair in places)


def test_the_documents_are_there():
    assert {path.name for path in DOCUMENTS} >= {
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "real-data.md",
    }
