"""A synthetic world: people drawn procedurally, filmed at four sites in two modalities.

NumPy and Pillow only. `write` lays four datasets out on disk exactly as the real ones,
so that the same loaders read both; `crowd` and `pretraining_images` draw visible images
of other people before other cameras.
"""

from ckda_jax.data.synthetic.layout import SIZES as SIZES
from ckda_jax.data.synthetic.layout import Size as Size
from ckda_jax.data.synthetic.people import CHOICES as CHOICES
from ckda_jax.data.synthetic.people import population as population
from ckda_jax.data.synthetic.picture import render as render
from ckda_jax.data.synthetic.pretraining import crowd as crowd
from ckda_jax.data.synthetic.pretraining import pretraining_images as pretraining_images
from ckda_jax.data.synthetic.sites import NAMES as NAMES
from ckda_jax.data.synthetic.world import write as write
