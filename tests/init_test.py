"""The package's own three calls, imported when they are asked for."""

import subprocess
import sys

import pytest

import ckda_jax
from ckda_jax.build.inference import load_model
from ckda_jax.retrieval.gallery import open_gallery
from tests import runs


def test_public_functions_are_those_of_their_modules():
    assert ckda_jax.load_model is load_model
    assert ckda_jax.open_gallery is open_gallery


def test_other_names_are_unknown():
    with pytest.raises(AttributeError, match="has no attribute 'open_galery'"):
        getattr(ckda_jax, "open_galery")  # noqa: B009


def test_importing_the_package_imports_nothing_heavy():
    text = "import sys, ckda_jax; print('jax' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=runs.ROOT, capture_output=True, text=True
    )
    assert done.stdout == "False False\n"
