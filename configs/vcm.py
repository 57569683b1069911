"""HITSZ-VCM alone: infrared queries, visible gallery, the first frame of each tracklet.

Command: python -m ckda_jax.train --config configs/vcm.py --workdir runs/vcm
Needs: HITSZ-VCM and a ViT-B/16 file, see docs/real-data.md.
Published (MITML, six frames of a tracklet where this uses one): 63.74 % rank-1,
    45.31 % mAP. Not run here.
"""

from ml_collections import ConfigDict

import lifelong


def get_config() -> ConfigDict:
    """Return the lifelong configuration with HITSZ-VCM as its only stage."""
    config = lifelong.get_config()
    config.stages = ("vcm",)
    return config
