"""A starting backbone for the drawn datasets, from people and cameras that none has.

Command: python -m ckda_jax.pretrain --config configs/pretrain.py --workdir runs/pre
Hardware: two cores and 4 GB.

What is learned is the shape of each person, whatever the clothes' colours: the keys for
losses, prompts, alignment, prototypes and merging have no effect here.
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
        crowd.identities = 4000  # people to learn
        crowd.held_out = 100  # further people before the same cameras, for scoring
        crowd.images = 10  # images of each person, in other colours each time
        crowd.cameras = 128  # cameras of the crowd
    config.stages = ("crowd",)
    config.init.weights = ""
    config.augment.infrared = False
    config.erasing.probability = 0.25
    config.train.identities = 64
    config.train.images = 1
    config.train.steps = 100
    config.train.epochs = 80
    config.train.log_every = 50
    config.train.gradients_every = 0
    config.train.checkpoint_every = 500
    config.optim.lr = 1.2e-3
    config.optim.pretrained_lr_factor = 1.0
    config.optim.lr_min = 1e-5
    config.optim.warmup_epochs = 2
    config.optim.weight_decay = 0.01
    config.optim.clip_norm = 1.0
    return config
