"""SYSU-MM01 alone: infrared queries, all-search single-shot gallery.

Command: python -m ckda_jax.train --config configs/sysu.py --workdir runs/sysu
Needs: SYSU-MM01 and a ViT-B/16 file, see docs/real-data.md.
Published (PMT, the same ViT-B/16 trained on one dataset, ten trials): 67.53 % rank-1,
    64.98 % mAP, 51.86 % mINP. Not run here.
"""

from ml_collections import ConfigDict

import lifelong


def get_config() -> ConfigDict:
    """Return the lifelong configuration with SYSU-MM01 as its only stage."""
    config = lifelong.get_config()
    config.stages = ("sysu",)
    return config
