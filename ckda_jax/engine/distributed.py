"""The devices of a run: one mesh over all processes, batch over `data`."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ckda_jax.engine import rendezvous
from ckda_jax.structs import InputError, Tree


def initialise() -> None:
    """Join the other processes of the run, where a launcher's environment names them.

    Must run before JAX touches a device; environment and errors as of
    `rendezvous.join`.
    """
    rendezvous.join()


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The mesh of a run and how arrays are laid out on it.

    Attributes:
        mesh: all devices, axes `data` and `model`.
    """

    mesh: Mesh

    @classmethod
    def of_all_devices(cls) -> "Cluster":
        """Use every device of every process for data parallelism."""
        devices = np.asarray(jax.devices()).reshape(-1, 1)
        return cls(Mesh(devices, ("data", "model"), axis_types=(AxisType.Auto,) * 2))

    @property
    def shard(self) -> tuple[int, int]:
        """Index of this process and their count: its share of a batch's rows."""
        return jax.process_index(), jax.process_count()

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's files."""
        return jax.process_index() == 0

    def replicated(self) -> NamedSharding:
        """Lay an array out whole on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def over_data(self, axis: int) -> NamedSharding:
        """Share an array's `axis` out over the devices."""
        return NamedSharding(self.mesh, PartitionSpec(*[None] * axis, "data"))

    def check_rows(self, rows: int, what: str) -> None:
        """Refuse a number of batch rows that the devices cannot share equally."""
        devices = self.mesh.shape["data"]
        if rows % devices:
            raise InputError(
                f"{what} has {rows} rows, which {devices} devices cannot share "
                f"equally; choose a multiple of {devices}"
            )

    def put(self, tree: Tree, axis: int) -> Tree:
        """Lay this process's rows (along `axis`) of each array out over the devices."""

        def place(array: Any) -> jax.Array:
            array = np.asarray(array)
            if array.ndim <= axis:
                return self.replicate(array)
            sharding = self.over_data(axis)
            return jax.make_array_from_process_local_data(sharding, array)

        return jax.tree.map(place, tree)

    def replicate(self, tree: Tree) -> Tree:
        """Copy a tree, equal in all processes, to every device."""
        sharding = self.replicated()
        if jax.process_count() == 1:
            return jax.device_put(tree, sharding)

        def place(array: Any) -> jax.Array:
            dtype: Any = getattr(array, "dtype", None)
            if jnp.issubdtype(dtype, jax.dtypes.prng_key):
                data = place(jax.random.key_data(array))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
            array = np.asarray(array)
            return jax.make_array_from_process_local_data(sharding, array)

        return jax.tree.map(place, tree)
