"""The devices of a run, in the mesh and the layout that its config asks for."""

import math

import jax
from ml_collections import ConfigDict

from ckda_jax.build import limits
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.layout import LARGE, REPLICATED, Layout

DEFAULT = ConfigDict({"model": 1, "parameters": REPLICATED.parameters, "large": LARGE})
"""The mesh of a run of an older version, whose config has none."""


def cluster(config: ConfigDict, *, learns: bool = True) -> Cluster:
    """Put the devices into the mesh that the config asks for.

    Args:
        config: resolved and locked.
        learns: False to evaluate only, on whatever devices there are: as many of those
            asked for along `model` as divide them.

    Raises:
        InputError: the devices do not make that mesh.
    """
    if learns:
        limits.check_limits(config)
    mesh = config.get("mesh", DEFAULT)
    model = mesh.model if learns else math.gcd(mesh.model, jax.local_device_count())
    layout = Layout(
        parameters=mesh.parameters, heads=config.model.heads, large=mesh.large
    )
    return Cluster.of_all_devices(model, layout)
