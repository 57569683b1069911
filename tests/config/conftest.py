"""A small folder of configuration files."""

from pathlib import Path

import pytest

COMMON = """
from ml_collections import ConfigDict

def get_config():
    config = ConfigDict()
    config.seed = 0  # decides all
    config.stages = ("a", "b")  # in order
    config.train = train = ConfigDict()
    train.epochs = 50  # of every stage
    train.size = (8, 4)  # height, width
    config.optim = ConfigDict()
    config.optim.lr = 0.5  # base rate
    config.optim.clip = False
    return config

def ckda(config):
    return config

def joint(config):
    config.seed = 7
    return config

PRESETS = {"ckda": ckda, "joint": joint}
"""

SMALL = """
import common

def get_config():
    config = common.get_config()
    config.train.epochs = 2  # not the comment of the key
    return config
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write `common.py` and `small.py`; return their folder."""
    (tmp_path / "common.py").write_text(COMMON)
    (tmp_path / "small.py").write_text(SMALL)
    return tmp_path
