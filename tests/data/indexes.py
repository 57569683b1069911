"""The folder of the four datasets' real index files, where there is one."""

import os
from pathlib import Path

import pytest


def real_indexes(name: str) -> Path:
    """Return a dataset's folder of real index files, or skip the test saying why."""
    folder = os.environ.get("CKDA_INDEXES", "")
    if not folder:
        pytest.skip("CKDA_INDEXES names no folder of real index files")
    if not (Path(folder) / name).is_dir():
        pytest.skip(f"CKDA_INDEXES={folder} holds no {name}")
    return Path(folder) / name
