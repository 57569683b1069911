"""The method as the released code computes it, and views to call its losses with."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ckda_jax.methods import METHODS, Settings
from ckda_jax.methods.base import Method, StepView
from ckda_jax.methods.parts import Metric
from ckda_jax.parity.terms import RELATION_TEMPERATURE, TEMPERATURE, Prototypes
from ckda_jax.structs import Batch, Outputs, StageInfo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Hyperparameters of the objective by their recorded names."""

    margin: float = 0.1
    ema_weight: float = 0.7
    proto_weight: float = 1.0
    inter_weight: float = 0.5
    new_weight: float = 1.0
    cross_weight: float = 0.5
    prompt_weight: float = 1.0

    @classmethod
    def of(cls, recorded: Mapping[str, np.ndarray]) -> "Weights":
        """Take the recorded values, the released defaults for those not recorded."""
        return cls(**{name: float(value) for name, value in recorded.items()})


def method(weights: Weights, capacity: int) -> Method:
    """Make the method with every option at the released code's value.

    Args:
        weights: hyperparameters.
        capacity: prototypes of a modality at most.
    """
    settings = Settings(
        metric=Metric(margin=weights.margin),
        centres={
            "weight": weights.new_weight * (1 - weights.cross_weight),
            "unique": False,
        },
        cross={
            "weight": weights.new_weight * weights.cross_weight,
            "unique": False,
            "anchor": "centre",
        },
        prompt_consistency={"weight": weights.prompt_weight, "compare": "train"},
        alignment={
            "capacity": capacity,
            "weight": weights.proto_weight,
            "inter_weight": weights.inter_weight,
            "student_space": "feature",
        },
        engine={
            "temperature": TEMPERATURE,
            "relation": "pairwise",
            "relation_temperature": RELATION_TEMPERATURE,
        },
        merge={"old_weight": weights.ema_weight, "carry_classifier": "equal_count"},
    )
    return METHODS["ckda"](settings)


def memory(known: Prototypes) -> dict[str, dict[str, Array]]:
    """Put prototypes where the method keeps them."""
    return {"alignment": {"prototypes": known.values, "mask": known.mask}}


def stage(index: int, first_row: int, classes: int, capacity: int) -> StageInfo:
    """Describe a stage, of `capacity` classifier rows in all, one step in an epoch."""
    return StageInfo(
        index=jnp.int32(index),
        first_row=jnp.int32(first_row),
        classes=jnp.int32(classes),
        steps_per_epoch=jnp.int32(1),
        replayed=jnp.zeros(capacity, bool),
    )


def batch(images: Array, labels: Array) -> Batch:
    """Make a batch of images that are already augmented and normalised."""
    return Batch(
        images=images,
        labels=labels,
        example=jnp.zeros(labels.shape, jnp.int32),
        present=jnp.ones(len(labels), bool),
    )


def outputs(features: Array, logits: Array, prompt: Array) -> Outputs:
    """Make the outputs of a model of which the losses' inputs are recorded."""
    return Outputs(
        prompt=prompt,
        common_prompt=jnp.zeros_like(prompt),
        specific_prompt=prompt,
        patches=jnp.zeros_like(features)[:, :, None],
        feature=features,
        neck=features,
        logits=logits,
    )


def view(
    student: Outputs, teacher: Outputs | None, labels: Array, known: Prototypes | None
) -> StepView:
    """Show outputs to the method's losses, as a training step does."""
    classes = student.logits.shape[-1]
    return StepView(
        batch=batch(student.prompt, labels),
        student=student,
        teacher=teacher,
        clean_prompt=lambda: student.prompt,
        extra=lambda name, *inputs: inputs,
        params={},
        memory={} if known is None else memory(known),
        stage=stage(0 if teacher is None else 1, 0, classes, classes),
        epoch=jnp.int32(1),
        key=jax.random.key(0),
    )
