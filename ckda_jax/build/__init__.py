"""From a config to the values of a run: the only place where names become objects."""

from ckda_jax.build.cache import use_compile_cache as use_compile_cache
from ckda_jax.build.data import datasets as datasets
from ckda_jax.build.data import images_per_step as images_per_step
from ckda_jax.build.data import stages as stages
from ckda_jax.build.data import stream as stream
from ckda_jax.build.data import world as world
from ckda_jax.build.limits import check_limits as check_limits
from ckda_jax.build.method import augment as augment
from ckda_jax.build.method import learner as learner
from ckda_jax.build.method import method as method
from ckda_jax.build.method import optimiser as optimiser
from ckda_jax.build.model import compute_dtype as compute_dtype
from ckda_jax.build.model import grid as grid
from ckda_jax.build.model import load_weights as load_weights
from ckda_jax.build.model import model as model
from ckda_jax.build.model import shapes as shapes
from ckda_jax.build.model import variables as variables
from ckda_jax.build.run import Draft as Draft
from ckda_jax.build.run import assemble as assemble
from ckda_jax.build.run import compiled_shares as compiled_shares
from ckda_jax.build.run import compiled_step as compiled_step
from ckda_jax.build.run import draft as draft
from ckda_jax.build.run import evaluator as evaluator
from ckda_jax.build.run import extend as extend
from ckda_jax.build.run import results as results
from ckda_jax.build.run import try_start as try_start
