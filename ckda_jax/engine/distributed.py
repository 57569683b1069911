"""The devices of a run: one mesh over all processes, a batch over all of it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ckda_jax import trees
from ckda_jax.engine import rendezvous
from ckda_jax.engine.layout import DATA, MODEL, REPLICATED, Layout
from ckda_jax.engine.peers import Peers
from ckda_jax.engine.state import Frozen, TrainState
from ckda_jax.engine.step import Step
from ckda_jax.methods.base import Metrics
from ckda_jax.structs import Batch, InputError, Tree


def initialise() -> None:
    """Join the other processes of the run, where a launcher's environment names them.

    Must run before JAX touches a device; environment and errors as of
    `rendezvous.join`.
    """
    rendezvous.join()


def is_main() -> bool:
    """Whether this process writes the run's files."""
    return jax.process_index() == 0


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The mesh of a run and how arrays are laid out on it.

    Attributes:
        mesh: all devices, axes `data` and `model`.
        layout: the rules for states, teachers and memories.
    """

    mesh: Mesh
    layout: Layout = REPLICATED

    @classmethod
    def of_all_devices(cls, model: int = 1, layout: Layout = REPLICATED) -> "Cluster":
        """Use every device of every process.

        Args:
            model: devices along the axis `model`; the others are along `data`.
            layout: the rules.

        Raises:
            InputError: a process does not have a multiple of `model` devices.
        """
        if jax.local_device_count() % model:
            raise InputError(
                f"config.mesh.model={model} devices along the axis `model` cannot be "
                f"taken of the {jax.local_device_count()} of a process; choose a "
                "divisor of that"
            )
        # In the order of the processes, so that each has a contiguous share of a batch.
        return cls.of(jax.devices(), model, layout)

    @classmethod
    def of(cls, devices: Sequence[Any], model: int, layout: Layout) -> "Cluster":
        """Use some devices, neighbours along `model`."""
        grid = np.asarray(devices).reshape(-1, model)
        mesh = Mesh(grid, (DATA, MODEL), axis_types=(AxisType.Auto,) * 2)
        return cls(mesh, layout)

    @property
    def shard(self) -> tuple[int, int]:
        """Index of this process and their count: its share of a batch's rows."""
        return jax.process_index(), jax.process_count()

    @property
    def peers(self) -> Peers:
        """The processes, as those that share tables out among them."""
        return Peers(*self.shard)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's files."""
        return is_main()

    def replicated(self) -> NamedSharding:
        """Lay an array out whole on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def over_devices(self, axis: int) -> NamedSharding:
        """Share an array's `axis` out over all devices."""
        return NamedSharding(self.mesh, PartitionSpec(*[None] * axis, (DATA, MODEL)))

    def hold(self, tokens: jax.Array) -> jax.Array:
        """Keep `[r, b, ...]` inside a program where its rows are.

        Without, what parameters are laid out like decides where tokens go, and XLA
        gathers all rows of a batch in every block instead of a block's parameters.
        """
        return jax.lax.with_sharding_constraint(tokens, self.over_devices(1))

    def shardings(self, tree: Tree) -> Tree:
        """Look up how each array of a tree, or what has its shape, is laid out."""

        def sharding(name: str, leaf: Any) -> NamedSharding:
            spec = self.layout.spec(name, np.shape(leaf), self.mesh.shape)
            return NamedSharding(self.mesh, spec)

        return trees.map_named(sharding, tree)

    def check_rows(self, rows: int, what: str) -> None:
        """Refuse a number of batch rows that the devices cannot share equally."""
        devices = self.mesh.size
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
            sharding = self.over_devices(axis)
            return jax.make_array_from_process_local_data(sharding, array)

        return jax.tree.map(place, tree)

    def own(self, array: jax.Array) -> np.ndarray:
        """Read this process's rows of an array that lies as `put` with axis 0 lays."""
        parts = {s.index[0].start or 0: s.data for s in array.addressable_shards}
        return np.concatenate([np.asarray(parts[start]) for start in sorted(parts)])

    def replicate(self, tree: Tree) -> Tree:
        """Copy a tree, equal in all processes, to every device."""
        return self._place(tree, jax.tree.map(lambda _: self.replicated(), tree))

    def lay_out(self, tree: Tree) -> Tree:
        """Lay a tree, equal in all processes, out by the rules."""
        return self._place(tree, self.shardings(tree))

    def zeros(self, shapes: Tree) -> Tree:
        """Make arrays of zeros, each laid out by the rules where it is made."""
        return jax.jit(
            lambda: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes),
            out_shardings=self.shardings(shapes),
        )()

    def folding(self, add: Callable[..., Tree]) -> Callable[..., Tree]:
        """Compile a step of a pass over a dataset: `(total, snapshot, batch, choice)`.

        Whatever tree is added up stays laid out by the rules, sums for prototypes as
        well as squared gradients, which are named as parameters are. The total given is
        consumed; `choice` is anything hashable and static.
        """

        def folded(total: Tree, snapshot: Tree, batch: Tree, choice: Any) -> Tree:
            total = add(total, snapshot, batch, choice)
            return jax.lax.with_sharding_constraint(total, self.shardings(total))

        return jax.jit(folded, donate_argnums=0, static_argnums=3)

    def keep_layout(self, step: Step) -> Step:
        """Make a step leave its state laid out by the rules, and metrics everywhere."""

        def kept(
            state: TrainState, frozen: Frozen, batch: Batch
        ) -> tuple[TrainState, Metrics]:
            state, metrics = step(state, frozen, batch)
            constrain = jax.lax.with_sharding_constraint
            state = constrain(state, self.shardings(state))
            return state, constrain(metrics, self.replicated())

        return kept

    def _place(self, tree: Tree, shardings: Tree) -> Tree:
        if jax.process_count() == 1:
            return jax.device_put(tree, shardings)
        placed = jax.tree.map(_place_among_processes, tree, shardings)
        # What moves between processes must have arrived before other programs start.
        return jax.block_until_ready(placed)


def _place_among_processes(array: Any, sharding: NamedSharding) -> jax.Array:
    """Lay out an array that is equal in all processes, or lies on all their devices."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return jax.device_put(array, sharding)
    dtype: Any = getattr(array, "dtype", None)
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        data = _place_among_processes(jax.random.key_data(array), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    whole = np.asarray(array)
    return jax.make_array_from_callback(
        whole.shape, sharding, lambda index: whole[index]
    )
