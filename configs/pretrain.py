"""A starting backbone for the drawn datasets, from people and cameras that none has.

Command: python -m ckda_jax.pretrain --config configs/pretrain.py --workdir runs/pre
Hardware: two cores and 4 GB.

The losses are the identity loss and the contrastive one, after the neck; the keys for
other losses, prompts, alignment, prototypes and merging have no effect here.
"""

from ml_collections import ConfigDict

import synthetic

PRESETS = {}


def get_config() -> ConfigDict:
    """Return `synthetic.py` with a crowd to learn instead of the four sites."""
    config = synthetic.get_config()
    with config.unlocked():
        config.crowd = crowd = ConfigDict()
        crowd.seed = 1_000_003  # of the crowd, of another domain than any world
        crowd.identities = 1000  # people to learn
        crowd.held_out = 100  # further people before the same cameras, for scoring
        crowd.images = 20  # images of each person
        crowd.cameras = 128  # cameras of the crowd
    config.stages = ("crowd",)
    config.init.weights = ""
    config.model.dropout = 0.0
    config.model.drop_path = 0.0
    config.augment.infrared = False
    config.erasing.probability = 0.25
    config.contrastive.weight = 1.0
    config.train.identities = 16
    config.train.images = 4
    config.train.steps = 50
    config.train.epochs = 60
    config.train.log_every = 20
    config.train.gradients_every = 0
    config.train.checkpoint_every = 250
    config.optim.lr = 2e-3
    config.optim.pretrained_lr_factor = 1.0
    config.optim.lr_min = 1e-5
    config.optim.warmup_epochs = 2
    config.optim.weight_decay = 0.01
    config.optim.clip_norm = 1.0
    return config
