"""The parts that train one stage: identity, triplets, contrast, centres, prompts."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ckda_jax.losses import distill, metric
from ckda_jax.losses import identity as identity_loss
from ckda_jax.methods.base import Method, Metrics, Scalar, StepView
from ckda_jax.methods.reduce import per_image, per_modality

COMPARISONS = ("clean", "train")


def identity(*, weight: float = 1.0) -> Method:
    """Classify each image among the identities of its stage.

    The mean over images of a modality, summed over modalities, as in the released code.
    """

    def loss(view: StepView) -> tuple[Scalar, Metrics]:
        logits = view.student.logits
        rows = view.stage.rows()
        values = identity_loss.cross_entropy(logits, view.batch.labels, mask=rows)
        hit = jnp.argmax(jnp.where(rows[None, None], logits, -jnp.inf), axis=-1)
        right = (hit == view.batch.labels).astype(logits.dtype)
        total = weight * jnp.sum(per_modality(values, view.batch.present))
        return total, {"accuracy": per_image(right, view.batch.present)}

    return Method(loss=loss)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """What the triplet losses have in common.

    Attributes:
        margin: in units of distance.
        normalize: compare unit features; from random weights raw ones collapse onto the
            margin.
        start_epoch: 1-based epoch in which the triplet losses begin.
    """

    margin: float = 0.1
    normalize: bool = False
    start_epoch: int = 1

    def features(self, view: StepView) -> Float[Array, "m b d"]:
        """Return the features to compare, before the neck."""
        features = view.student.feature
        if not self.normalize:
            return features
        square = jnp.sum(jnp.square(features), axis=-1, keepdims=True)
        return features / jnp.sqrt(jnp.maximum(square, 1e-12))

    def started(self, view: StepView, value: Scalar) -> Scalar:
        """Return the value, 0 before the first epoch."""
        return jnp.where(view.epoch >= self.start_epoch, value, 0)


def triplet(settings: Metric, *, weight: float = 1.0) -> Method:
    """Pull the hardest positive nearer than the hardest negative of any modality."""

    def loss(view: StepView) -> tuple[Scalar, Metrics]:
        features, labels, mask = _rows(settings.features(view), view)
        values = metric.batch_hard(features, labels, margin=settings.margin, mask=mask)
        value = jnp.sum(values) / jnp.maximum(jnp.sum(mask), 1)
        return settings.started(view, weight * value), {}

    return Method(loss=loss)


def contrastive(*, weight: float = 0.0, temperature: float = 0.1) -> Method:
    """Contrast identities over all modalities, after the neck.

    Helps where weights start at random: before the neck the features of such a
    transformer differ so little that a contrast has no gradient to follow.
    """

    def loss(view: StepView) -> tuple[Scalar, Metrics]:
        features, labels, mask = _rows(view.student.neck, view)
        values = metric.supervised_contrastive(
            features, labels, temperature=temperature, mask=mask
        )
        return weight * jnp.sum(values) / jnp.maximum(jnp.sum(mask), 1), {}

    return Method(loss=loss) if weight else Method()


def centres(settings: Metric, *, weight: float = 0.5, unique: bool = True) -> Method:
    """Bring an identity's centres together, and apart from other identities'."""
    return _weighted(settings, weight, metric.centre_triplets, unique=unique)


def cross(
    settings: Metric,
    *,
    weight: float = 0.5,
    unique: bool = True,
    anchor: str = "centre",
) -> Method:
    """Bring the samples of one modality to the identity centres of the other."""
    return _weighted(
        settings, weight, metric.cross_triplets, unique=unique, anchor=anchor
    )


def prompt_consistency(*, weight: float = 1.0, compare: str = "clean") -> Method:
    """Hold the prompts to the frozen model's: mean absolute difference over all pixels.

    Args:
        weight: of the loss; nothing in the first stage.
        compare: `clean` computes the student's prompts as the teacher's are, without
            dropout and with running statistics; `train` takes them from the training
            pass, as the released code does, whose loss is not zero for equal models.
    """
    if compare not in COMPARISONS:
        raise ValueError(f"compare={compare!r}: none of {COMPARISONS}")

    def loss(view: StepView) -> tuple[Scalar, Metrics]:
        if view.teacher is None:
            return jnp.zeros((), view.student.prompt.dtype), {}
        new = view.clean_prompt() if compare == "clean" else view.student.prompt
        values = distill.absolute(new, view.teacher.prompt)
        return weight * per_image(values, view.batch.present), {}

    return Method(loss=loss)


def _weighted(
    settings: Metric,
    weight: float,
    terms: Callable[..., metric.Weighted],
    **options: object,
) -> Method:
    def loss(view: StepView) -> tuple[Scalar, Metrics]:
        found = terms(
            settings.features(view),
            view.batch.labels,
            margin=settings.margin,
            present=view.batch.present,
            **options,
        )
        value = jnp.sum(found.values * found.shares)
        return settings.started(view, weight * value), {}

    return Method(loss=loss)


def _rows(
    features: Float[Array, "m b d"], view: StepView
) -> tuple[Float[Array, "r d"], Int[Array, " r"], Bool[Array, " r"]]:
    """Stack all modalities' rows, with their labels and whether they are there.

    Row by row, not modality by modality: rows that are shared out over devices stay
    where they are.
    """
    m, b, d = features.shape
    mask = jnp.tile(view.batch.present, b)
    features, labels = jnp.swapaxes(features, 0, 1), view.batch.labels.T
    return features.reshape(b * m, d), labels.reshape(b * m), mask
