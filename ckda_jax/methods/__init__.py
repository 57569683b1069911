"""Methods: how a model learns a stage and what it keeps of the stages before.

`METHODS` maps a name to a constructor that takes its settings as keywords, see
`ckda.Settings`, and returns a `base.Method`.
"""

from ckda_jax.methods.ckda import Settings as Settings
from ckda_jax.methods.ckda import ckda, finetune

METHODS = {"ckda": ckda, "finetune": finetune}
