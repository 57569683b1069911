"""The synthetic run cut to two stages and a few steps: does everything work here?

Command: python -m ckda_jax.train --config configs/smoke.py --workdir runs/smoke
Hardware: anything. Its numbers mean nothing.
"""

from ml_collections import ConfigDict

import synthetic


def get_config() -> ConfigDict:
    """Return `synthetic.py` shrunk in people, images, stages and steps."""
    config = synthetic.get_config()
    config.stages = ("regdb", "sysu")
    config.data.synthetic.identities = 8
    config.data.synthetic.test_identities = 4
    config.data.synthetic.images = 4
    config.train.identities = 4
    config.train.images = 2
    config.train.epochs = 1
    config.train.steps = 2
    config.train.log_every = 1
    config.train.gradients_every = 0  # one more program to compile
    config.train.checkpoint_every = 1
    config.eval.batch = 32
    config.report.queries = 2
    return config
