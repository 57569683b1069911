"""The layout: which arrays of a run are shared out over which devices, by their names.

Devices stand in a mesh of two axes, `data` and `model`, and the rows of a batch are
shared out over all of them. Over `model`, which are neighbours, go the axes of
parameters that are wide by nature: the heads of the attention, the hidden channels of
the MLPs, and the identities of classifier and prototypes. With `fsdp` every large array
is shared out over `data` as well (Rajbhandari et al. 2020, stage 3): each device keeps
a part, and the whole is put together where it is used.

Optimisers name their moments after the parameters, and a teacher is named as the model
is, so that the same rules lay them out alike.
"""

import dataclasses
import math
from collections.abc import Mapping

from jax.sharding import PartitionSpec

from ckda_jax.trees import matches

DATA = "data"
"""Axis of the mesh over which FSDP shares parameters out."""

MODEL = "model"
"""Axis of the mesh over which wide parameters are shared out."""

PARAMETERS = ("replicated", "fsdp")

LARGE = 2**16
"""Numbers from which on an array is shared out; smaller ones are on every device."""

AXES = (
    (r".*blocks/attn/qkv/kernel", ("layer", "width", "heads")),
    (r".*blocks/attn/proj/kernel", ("layer", "heads", "width")),
    (r".*blocks/mlp/fc1/kernel", ("layer", "width", "hidden")),
    (r".*blocks/mlp/fc2/kernel", ("layer", "hidden", "width")),
    (r".*blocks/.*", ("layer",)),
    (r".*classifier/kernel", ("width", "identity")),
    (r".*prototypes", ("modality", "identity", "width")),
    (r".*mask", ("modality", "identity")),
    (r".*sums", ("identity", "width")),
    (r".*counts", ("identity",)),
    (r".*", ()),
)
"""Ordered `(regex, names of the first axes)` pairs over whole names; the first counts.

An axis without a name is like `width`: free to be shared out over `data`.
"""

WIDE = ("heads", "hidden", "identity")
"""Axes that are shared out over `model`."""

WHOLE = ("layer", "modality")
"""Axes that are never shared out: the backbone is scanned over its layers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How arrays are shared out.

    Attributes:
        parameters: `replicated`, or `fsdp` to share them out over `data`.
        heads: of the attention, which stay whole.
        large: numbers from which on an array is shared out.
    """

    parameters: str = "replicated"
    heads: int = 1
    large: int = LARGE

    def spec(
        self, name: str, shape: tuple[int, ...], mesh: Mapping[str, int]
    ) -> PartitionSpec:
        """Say over which axis of the mesh each axis of an array is shared out.

        An axis whose length the devices do not divide is not, and where `model` finds
        no axis the array is the same all along it.

        Args:
            name: of the array, as `trees.path_name` writes it.
            shape: of the array.
            mesh: devices along each axis of the mesh.

        >>> rules, mesh = Layout(parameters="fsdp", heads=12), {"data": 4, "model": 2}
        >>> tuple(rules.spec("params/classifier/kernel", (768, 1000), mesh))
        ('data', 'model')
        >>> name = "mu/backbone/blocks/mlp/fc2/kernel"
        >>> tuple(rules.spec(name, (12, 3072, 768), mesh))
        (None, 'model', 'data')
        >>> tuple(rules.spec("params/neck/scale", (768,), mesh))
        ()
        """
        if math.prod(shape) < self.large:
            return PartitionSpec()
        known = next(axes for pattern, axes in AXES if matches(name, pattern))
        names = (*known, *("",) * len(shape))[: len(shape)]
        spec: list[str | None] = [None] * len(shape)
        for axis, length in enumerate(shape):
            if names[axis] in WIDE and self._divides(names[axis], length, mesh[MODEL]):
                spec[axis] = MODEL
        free = [
            (length, axis)
            for axis, length in enumerate(shape)
            if spec[axis] is None
            and names[axis] not in WHOLE
            and not length % mesh[DATA]
        ]
        if self.parameters == "fsdp" and mesh[DATA] > 1 and free:
            spec[max(free)[1]] = DATA
        while spec and spec[-1] is None:
            spec.pop()  # as JAX writes it: specs that differ would be compiled anew
        return PartitionSpec(*spec)

    def _divides(self, name: str, length: int, devices: int) -> bool:
        """Whether devices can share an axis; of heads each has some whole ones."""
        whole = self.heads if name == "heads" else length
        return devices > 1 and not whole % devices and not length % devices


REPLICATED = Layout()
"""Everything whole on every device."""
