"""The origin of a run: fresh weights, or what another run's last stage left behind."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ckda_jax import trees
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.results import read as read_results
from ckda_jax.engine.state import Snapshot
from ckda_jax.files import RESULTS
from ckda_jax.structs import MODALITIES, InputError, Tree

CHECKPOINTS = "checkpoints"
CLASSIFIER = r"params/classifier/.*"
MASK = re.compile(r"(^|/)mask$")
"""Masks of a memory's tables, whose last axis is the room for identities."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lineage:
    """What a run goes on from, in few words; the default is a run of its own.

    Attributes:
        init_from: directory of the run that it extends.
        first_index: 0-based position of its first stage.
        learned: names of the datasets learned before.
        identities: for how many identities the memory has room already.
        modalities: names of the modalities that its model knows.
    """

    init_from: str = ""
    first_index: int = 0
    learned: tuple[str, ...] = ()
    identities: int = 0
    modalities: tuple[str, ...] = ()


OWN = Lineage()
"""That of a run which extends none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """What another run left behind.

    Attributes:
        workdir: that run's directory.
        stage: 0-based stage it finished last.
        variables: its variables, as it saved them.
        memory: its method's memory.
        results: content of its `results.json`.
        modalities: names of its modalities.
    """

    workdir: Path
    stage: int
    variables: Tree
    memory: Tree
    results: dict[str, Any]
    modalities: tuple[str, ...] = MODALITIES

    @property
    def lineage(self) -> Lineage:
        """What a run that goes on from here must know."""
        leaves = trees.named_leaves(self.memory)
        rooms = [leaf.shape[-1] for name, leaf in leaves.items() if MASK.search(name)]
        return Lineage(
            init_from=str(self.workdir.resolve()),
            first_index=self.stage + 1,
            learned=tuple(n for names in self.results["stages"] for n in names),
            identities=max(rooms, default=0),
            modalities=self.modalities,
        )

    def snapshot(self, variables: Tree, memory: Tree) -> Snapshot:
        """Fit what was left behind to a new run's trees.

        The classifier is new; what the memory holds is padded with zeros where the new
        run has more identities.

        Args:
            variables: of the new run, freshly initialised.
            memory: of the new run, as its method starts it.

        Raises:
            InputError: another architecture, or another method's memory.
        """
        kept = _fit(self.variables, variables, f"the model of {self.workdir}")
        memory = _fit(self.memory, memory, f"the memory of {self.workdir}", pad=True)
        return Snapshot(variables=kept, memory=memory, stage=jnp.int32(self.stage))


def read(workdir: Path) -> Origin:
    """Read what the last stage of a finished run left behind.

    Raises:
        InputError: no run, or its last stage is not finished.
    """
    folder = workdir / CHECKPOINTS
    if not folder.is_dir():
        raise InputError(
            f"{workdir} holds no run to start from (no {CHECKPOINTS}/ in it); give the "
            "--workdir of a finished run"
        )
    results = read_results(workdir / RESULTS)
    checkpoints = Checkpoints(folder, writes=False)
    finished, last = checkpoints.stages(), len(results["stages"]) - 1
    if last not in finished:
        raise InputError(
            f"{workdir}: stage {last + 1}, its last one, is not finished; let that run "
            "end first"
        )
    saved = checkpoints.restore_as_saved(last)
    checkpoints.close()
    return Origin(
        workdir=workdir,
        stage=last,
        variables=saved["variables"],
        memory=saved["memory"],
        results=results,
    )


def _fit(old: Tree, new: Tree, what: str, *, pad: bool = False) -> Tree:
    """Give the new tree the old values; leave the new classifier as it is."""
    old_leaves, new_leaves = trees.named_leaves(old), trees.named_leaves(new)
    differing = sorted(set(old_leaves) ^ set(new_leaves))
    if differing:
        raise InputError(
            f"{what} does not fit this run: {len(differing)} entries differ, "
            f"{', '.join(differing[:3])}; use that run's model and method"
        )

    def fit(name: str, value: Any) -> Any:
        array = np.asarray(old_leaves[name])
        if not pad and trees.matches(name, CLASSIFIER):
            return value
        if pad and len(array.shape) == len(value.shape):
            short = [n - o for n, o in zip(value.shape, array.shape, strict=True)]
            if min(short, default=0) >= 0:
                array = np.pad(array, [(0, s) for s in short])
        if array.shape != value.shape:
            raise InputError(
                f"{what} does not fit this run: {name} is {array.shape} there and "
                f"{value.shape} here; use that run's config.model and config.prompts"
            )
        return jnp.asarray(array, value.dtype)

    return trees.map_named(fit, new)
