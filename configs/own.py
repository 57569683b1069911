"""Two sites of one's own in three modalities with a small ViT: docs/own-data.md.

Command: python -m ckda_jax.train --config configs/own.py --workdir runs/own
Needs: the pictures that examples/three_modalities.py draws.
Hardware: a laptop; two cores and 4 GB are enough.
"""

from ml_collections import ConfigDict

import synthetic


def get_config() -> ConfigDict:
    """Return the model and schedule of `synthetic.py` on a folder and a table."""
    config = synthetic.get_config()
    config.data.synthetic.enabled = False
    config.modalities = ("visible", "infrared", "thermal")
    config.data.own = ("gate=data/own/gate", "yard=data/own/yard.csv")
    config.stages = ("gate", "yard")
    return config
