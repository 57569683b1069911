"""Two recorded models as our stages: one classifier, a slice for each of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ckda_jax.models import weights
from ckda_jax.models.reid import ReIDModel
from ckda_jax.parity import method, recorded
from ckda_jax.parity.golden import Geometry
from ckda_jax.structs import StageInfo, Tree

State = Mapping[str, np.ndarray]
CLASSIFIER = "classifier.weight"


@dataclasses.dataclass(frozen=True)
class Stages:
    """A stage's model and, unless it is the first, the frozen one before it.

    Attributes:
        model: of the size of both classifiers together.
        student: variables of the stage's model.
        teacher: variables of the previous stage's; None in the first stage.
        info: the stage.
        previous: the stage before it.
        extras: entries of the student's state that are not ours.
    """

    model: ReIDModel
    student: Tree
    teacher: Tree | None
    info: StageInfo
    previous: StageInfo | None
    extras: State

    def export(self, variables: Tree) -> dict[str, np.ndarray]:
        """Write variables under the recorded names, the stage's own slice alone."""
        state = weights.export_reference(variables)
        if CLASSIFIER in state:
            first, count = int(self.info.first_row), int(self.info.classes)
            state[CLASSIFIER] = state[CLASSIFIER][first : first + count]
        return state


def stages(geometry: Geometry, new: State, old: State | None, precision: str) -> Stages:
    """Build a stage from the states of its model and of the one before it.

    Each model's rows of the classifier become its slice; the other slice is filled with
    what no result may depend on.
    """
    own = new[CLASSIFIER]
    before = np.zeros((0, own.shape[1]), own.dtype) if old is None else old[CLASSIFIER]
    classes = len(own) + len(before)
    model = recorded.build(geometry, new, classes, precision)
    student = {**new, CLASSIFIER: np.concatenate([before, own])}
    teacher = None
    if old is not None:
        rows = np.concatenate([before, np.ones_like(own)])
        teacher = recorded.variables(model, {**old, CLASSIFIER: rows})
    first_row = len(before)
    previous = None if old is None else method.stage(0, 0, first_row, classes)
    imported, extras = weights.import_reference(student, recorded.template(model))
    return Stages(
        model=model,
        student=imported,
        teacher=teacher,
        info=method.stage(0 if old is None else 1, first_row, len(own), classes),
        previous=previous,
        extras=extras,
    )
