"""The four datasets one after another, as in the paper: the defaults of `common.py`.

Command: python -m ckda_jax.train --config configs/lifelong.py --workdir runs/lifelong
Needs: the four datasets and a ViT-B/16 file, see docs/real-data.md.
Published (CKDA, AAAI 2026): average over the four datasets after the last stage,
    36.3 % mAP and 39.4 % rank-1. Not run here.
"""

from ml_collections import ConfigDict

import common


def get_config() -> ConfigDict:
    """Return the reference's order and hyperparameters with its starting weights."""
    config = common.get_config()
    config.stages = ("regdb", "sysu", "llcm", "vcm")
    config.init.weights = "data/vit_base_patch16_224.safetensors"
    return config
