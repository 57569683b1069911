"""CKDA: knowledge in modality-common and -specific prompts, aligned with the old model.

Cross-modality Knowledge Disentanglement and Alignment for visible-infrared lifelong
person re-identification (AAAI 2026).
"""

import dataclasses

from ckda_jax.methods import parts
from ckda_jax.methods.alignment import alignment
from ckda_jax.methods.base import Method
from ckda_jax.methods.combined import combine
from ckda_jax.methods.merge import weight_merge
from ckda_jax.models.alignment import AlignmentEngine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Keywords of each part's constructor.

    Attributes:
        metric: what the triplet losses share.
        identity, triplet, contrastive, centres, cross, prompt_consistency: of `parts`.
        alignment: of `alignment.alignment`, without the engine.
        engine: of `AlignmentEngine`.
        merge: of `weight_merge`.
    """

    metric: parts.Metric = parts.Metric()
    identity: dict = dataclasses.field(default_factory=dict)
    triplet: dict = dataclasses.field(default_factory=dict)
    contrastive: dict = dataclasses.field(default_factory=dict)
    centres: dict = dataclasses.field(default_factory=dict)
    cross: dict = dataclasses.field(default_factory=dict)
    prompt_consistency: dict = dataclasses.field(default_factory=dict)
    alignment: dict = dataclasses.field(default_factory=dict)
    engine: dict = dataclasses.field(default_factory=dict)
    merge: dict = dataclasses.field(default_factory=dict)


def ckda(settings: Settings) -> Method:
    """Make the method of the paper."""
    return combine(
        **_learning(settings),
        prompt_consistency=parts.prompt_consistency(**settings.prompt_consistency),
        alignment=alignment(AlignmentEngine(**settings.engine), **settings.alignment),
        weight_merge=weight_merge(**settings.merge),
    )


def finetune(settings: Settings) -> Method:
    """Make the method that learns each stage like the first and protects nothing."""
    return combine(**_learning(settings))


def _learning(settings: Settings) -> dict[str, Method]:
    """Make the parts that learn a stage, with or without a teacher."""
    return {
        "identity": parts.identity(**settings.identity),
        "triplet": parts.triplet(settings.metric, **settings.triplet),
        "contrastive": parts.contrastive(**settings.contrastive),
        "centres": parts.centres(settings.metric, **settings.centres),
        "cross": parts.cross(settings.metric, **settings.cross),
    }
