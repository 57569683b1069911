"""Four drawn datasets one after another with a small ViT; needs the package alone.

Command: python -m ckda_jax.train --config configs/synthetic.py --workdir runs/synthetic
Hardware: a laptop; two cores and 4 GB are enough.
"""

from ml_collections import ConfigDict

import common


def get_config() -> ConfigDict:
    """Return the synthetic world, a small ViT and a schedule of minutes."""
    config = common.get_config()
    config.data.synthetic.enabled = True
    config.data.synthetic.identities = 100
    config.data.synthetic.test_identities = 30
    config.data.synthetic.images = 5
    config.model.image_size = (64, 32)
    config.model.stem = "conv"
    # Of the patch stem, which benchmarks/stem.py compares with this one.
    config.model.patch_size = config.model.stride = 8
    config.model.width = 192
    config.model.depth = 4
    config.model.heads = 3
    # So small a model, in so few steps, is held back by them: docs/synthetic-world.md.
    config.model.dropout = config.model.drop_path = 0.0
    config.prompts.patch_size = 8
    config.init.weights = "asset:backbone"
    config.train.steps = 20
    config.train.epochs = 12
    config.train.log_every = 20
    config.train.gradients_every = 60
    config.train.checkpoint_every = 120
    config.optim.lr = 3e-3
    config.optim.warmup_epochs = 2
    # The reference blurs images 128 wide by up to 3 pixels; these are 32 wide.
    config.augment.blur_sigma = (0.1, 0.75)
    config.erasing.probability = 0.2
    return config
