"""The compile cache: compiled steps in a folder, so that the next run starts fast."""

import os
from pathlib import Path

import jax


def use_compile_cache(folder: str) -> None:
    """Keep compiled steps in a folder.

    Args:
        folder: a path; `auto` for the user's cache; empty for none.
    """
    if folder == "auto":
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = str(Path(cache) / "ckda_jax")
    if folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
