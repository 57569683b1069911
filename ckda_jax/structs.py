"""The values that flow between every part, and the letters their shapes are written in.

Shape letters, everywhere in this package:

    m      modality, in the order of `config.modalities`: 0 visible, 1 infrared, ...
    b      rows of one modality in a batch
    h w c  image height, width, channels
    n      tokens or patches
    d      width: channels of a token or an embedding
    k      identities: prototypes or classes
    q g    query and gallery
    s      stages
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float

VISIBLE = 0
INFRARED = 1
MODALITIES = ("visible", "infrared")
"""Names of the modalities of the published datasets; a modality's id is its position.

A run names its own in `config.modalities`; these two are the default.
"""


Tree = Any
"""Any pytree of arrays."""


# Fields of pytrees are not annotated with shapes: trees of other things than arrays
# (shapes, shardings, names) are made of the same classes.
class Batch(struct.PyTreeNode):
    """One training batch; rows at the same position share the identity.

    Attributes:
        images: `[m, b, h, w, 3]` uint8 as read, or float once augmented and normalised.
        labels: `[m, b]` int32, row of the classifier that belongs to the identity.
        example: `[m, b]` int32, row of the stage's table of training images.
        present: `[m]` bool, false where the stage has no image of that modality: its
            rows are zeros, enter no statistic and no loss, and its parameters stand
            still.
    """

    images: Any
    labels: Any
    example: Any
    present: Any


class Outputs(struct.PyTreeNode):
    """Everything the model computed on the way to the embedding.

    Attributes:
        prompt: `[m, b, h, w, 3]`, both prompts' sum, added to the input.
        common_prompt: `[m, b, h, w, 3]`, the modality-common prompt.
        specific_prompt: `[m, b, h, w, 3]`, the modality-specific prompt.
        patches: `[m, b, n, d]`, patch tokens after the last norm.
        feature: `[m, b, d]`, CLS token after the last norm, before the neck.
        neck: `[m, b, d]`, the feature after batch normalisation.
        logits: `[m, b, k]`, one score for every classifier row.
        blocks: per-block maps by name, only on request.
    """

    prompt: Any
    common_prompt: Any
    specific_prompt: Any
    patches: Any
    feature: Any
    neck: Any
    logits: Any
    blocks: dict[str, Any] | None = None


class StageInfo(struct.PyTreeNode):
    """What a compiled step may know of the stage it serves; all of it is traced.

    Attributes:
        index: `[]` int32, 0-based position of the stage.
        first_row: `[]` int32, first classifier row of the stage's slice.
        classes: `[]` int32, length of that slice.
        steps_per_epoch: `[]` int32.
        replayed: `[k]` bool, rows of earlier stages whose examples are mixed in.
    """

    index: Any
    first_row: Any
    classes: Any
    steps_per_epoch: Any
    replayed: Any

    def rows(self) -> Bool[Array, " k"]:
        """Mask the classifier rows that this stage's images belong to."""
        row = jax.numpy.arange(len(self.replayed))
        own = (row >= self.first_row) & (row < self.first_row + self.classes)
        return own | self.replayed

    def slice_of(self, kernel: Float[Array, "d k"]) -> Float[Array, "d c"]:
        """Take the stage's slice of a classifier; not inside a compiled function."""
        first, count = int(self.first_row), int(self.classes)
        return kernel[:, first : first + count]

    def put_slice(
        self, kernel: Float[Array, "d k"], own: Float[Array, "d c"]
    ) -> Float[Array, "d k"]:
        """Replace the stage's slice of a classifier; not inside a compiled function."""
        return jax.lax.dynamic_update_slice(kernel, own, (0, int(self.first_row)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Records:
    """A table of images, one row each, as parallel NumPy columns (never JAX arrays).

    Attributes:
        paths: `[n]` str, absolute image paths.
        identity: `[n]` int64, person label as the dataset writes it.
        modality: `[n]` int8, position on the modality axis: 0 visible, 1 infrared.
        camera: `[n]` int32, camera number as the dataset writes it, -1 when unknown.
        tracklet: `[n]` int32, tracklet number, -1 where the dataset has none.
    """

    paths: np.ndarray
    identity: np.ndarray
    modality: np.ndarray
    camera: np.ndarray
    tracklet: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: np.ndarray) -> "Records":
        """Return the rows picked by an index array or a boolean mask."""
        names = [field.name for field in dataclasses.fields(self)]
        return Records(**{name: getattr(self, name)[rows] for name in names})


def concatenate_records(tables: "list[Records] | tuple[Records, ...]") -> Records:
    """Stack tables of images in the order given; at least one table."""
    columns = {
        f.name: np.concatenate([getattr(t, f.name) for t in tables])
        for f in dataclasses.fields(Records)
    }
    return Records(**columns)


class Interrupted(BaseException):
    """The process was asked to end; entry points print the message and exit.

    Attributes:
        number: of the signal that asked; the exit status is 128 more.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class InputError(ValueError):
    """A user's input cannot be used; the message names value, cause and remedy.

    Entry points print the message as one line (a tree may follow) and exit with status
    2.
    """
