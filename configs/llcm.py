"""LLCM alone: infrared queries, visible gallery.

Command: python -m ckda_jax.train --config configs/llcm.py --workdir runs/llcm
Needs: LLCM and a ViT-B/16 file, see docs/real-data.md.
Published (DEEN, the dataset's own baseline, ten trials): 54.9 % rank-1, 62.9 % mAP.
    Not run here.
"""

from ml_collections import ConfigDict

import lifelong


def get_config() -> ConfigDict:
    """Return the lifelong configuration with LLCM as its only stage."""
    config = lifelong.get_config()
    config.stages = ("llcm",)
    return config
