"""The configuration: a Python file, a preset and overrides become one locked tree.

`--config configs/X.py:preset --config.key=value ...` is resolved in this order: the
defaults of `configs/common.py`, the changes of the file, the preset, the overrides. The
values are plain data; `build.py` alone makes objects of them.
"""

from ckda_jax.config.command import add_arguments as add_arguments
from ckda_jax.config.command import command as command
from ckda_jax.config.command import main_guard as main_guard
from ckda_jax.config.command import parse as parse
from ckda_jax.config.command import resolve as resolve
from ckda_jax.config.file import load as load
from ckda_jax.config.listing import describe as describe
from ckda_jax.config.stored import read as read
from ckda_jax.config.tree import difference as difference
from ckda_jax.config.tree import flatten as flatten
from ckda_jax.config.tree import from_json as from_json
from ckda_jax.config.tree import to_json as to_json
