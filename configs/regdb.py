"""RegDB alone: visible queries, thermal gallery, one trial.

Command: python -m ckda_jax.train --config configs/regdb.py --workdir runs/regdb
Needs: RegDB and a ViT-B/16 file, see docs/real-data.md.
Published (AGW, a ResNet-50 baseline, ten trials): 70.05 % rank-1, 66.37 % mAP,
    50.19 % mINP. Not run here.
"""

from ml_collections import ConfigDict

import lifelong


def get_config() -> ConfigDict:
    """Return the lifelong configuration with RegDB as its only stage."""
    config = lifelong.get_config()
    config.stages = ("regdb",)
    return config
