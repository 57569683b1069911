"""The optimiser: AdamW in groups chosen by regex, one learning rate per epoch."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from ckda_jax import trees
from ckda_jax.structs import Tree

FROZEN = "frozen"
"""The group of parameters that are never trained."""

GROUPS = (
    (r"neck/bias", FROZEN),
    (r"backbone/(patch_embed|blocks)/.*", "pretrained"),
    (r".*", "base"),
)
"""Ordered `(regex, group)` pairs over parameter names; every leaf must be covered."""

PER_MODALITY = r"specific/.*|backbone/mod_embed"
"""Parameters with a leading modality axis."""

PER_CLASS = r"classifier/kernel"
"""Parameters whose last axis is the classifier's rows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate of a group in each epoch, 1-based.

    Warm-up rises linearly from `lr_min`; the cosine that follows is not shifted by it,
    as in the released code, and the last epoch runs at `lr_min`.

    Attributes:
        lr: base learning rate of the group.
        lr_min: where the warm-up starts and the cosine ends.
        warmup_epochs: epochs before the cosine takes over.
        epochs: epochs of the stage.
    """

    lr: float
    lr_min: float
    warmup_epochs: int
    epochs: int

    def __call__(self, epoch: Int[Array, "..."] | int) -> Float[Array, "..."]:
        """Return the learning rate of an epoch.

        >>> schedule = Schedule(lr=3e-4, lr_min=3e-6, warmup_epochs=3, epochs=50)
        >>> [f"{schedule(epoch):.5e}" for epoch in (1, 2, 3, 50)]
        ['1.02000e-04', '2.01000e-04', '2.97370e-04', '3.00000e-06']
        """
        t = jnp.asarray(epoch, jnp.result_type(float))
        span = self.lr - self.lr_min
        warmup = self.lr_min + t * span / max(self.warmup_epochs, 1)
        cosine = self.lr_min + 0.5 * span * (1 + jnp.cos(jnp.pi * t / self.epochs))
        decayed = jnp.where(t < self.epochs, cosine, self.lr_min)
        return jnp.where(t < self.warmup_epochs, warmup, decayed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Settings of AdamW; the defaults are the released code's.

    Attributes:
        lr: base learning rate.
        pretrained_lr_factor: of the `pretrained` group.
        lr_min: lowest learning rate, the same for all groups.
        warmup_epochs: epochs of linear warm-up.
        epochs: epochs of a stage.
        weight_decay: decoupled, on every trained parameter.
        clip_norm: largest global norm of the trained gradients, 0 for no clipping.
    """

    lr: float = 3e-4
    pretrained_lr_factor: float = 0.5
    lr_min: float = 3e-6
    warmup_epochs: int = 3
    epochs: int = 50
    weight_decay: float = 1e-4
    clip_norm: float = 0.0

    def schedules(self) -> dict[str, Schedule]:
        """Return the schedule of each trained group."""
        base = Schedule(
            lr=self.lr,
            lr_min=self.lr_min,
            warmup_epochs=self.warmup_epochs,
            epochs=self.epochs,
        )
        pretrained = dataclasses.replace(base, lr=self.lr * self.pretrained_lr_factor)
        return {"pretrained": pretrained, "base": base}

    def transform(self, params: Tree) -> optax.GradientTransformationExtraArgs:
        """Build the transformation for a tree of parameters.

        Its `update` takes the 1-based epoch: `update(grads, state, params, epoch=1)`.
        """
        groups = {name: self._adamw(s) for name, s in self.schedules().items()}
        transform = optax.partition(
            {**groups, FROZEN: optax.set_to_zero()}, trees.label(params, GROUPS)
        )
        if self.clip_norm:
            transform = optax.chain(clip_trained(self.clip_norm), transform)
        return optax.with_extra_args_support(transform)

    def _adamw(self, schedule: Schedule) -> optax.GradientTransformationExtraArgs:
        return optax.with_extra_args_support(
            optax.chain(
                optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
                optax.add_decayed_weights(self.weight_decay),
                scale_by_epoch(schedule),
            )
        )


def only_trained(grads: Tree) -> Tree:
    """Zero the gradients of what is never trained, which count in no norm.

    >>> only_trained({"neck": {"bias": jnp.ones(1), "scale": jnp.ones(1)}})
    {'neck': {'bias': Array([0.], dtype=float32), 'scale': Array([1.], dtype=float32)}}
    """

    def keep(group: str, grad: Array) -> Array:
        return jnp.zeros_like(grad) if group == FROZEN else grad

    return jax.tree.map(keep, trees.label(grads, GROUPS), grads)


def clip_trained(norm: float) -> optax.GradientTransformation:
    """Clip gradients by the global norm of the trained ones."""
    clip = optax.clip_by_global_norm(norm)

    def update(
        updates: Tree, state: optax.OptState, params: Tree = None
    ) -> tuple[Tree, optax.OptState]:
        return clip.update(only_trained(updates), state, params)

    return optax.GradientTransformation(clip.init, update)


def scale_by_epoch(schedule: Schedule) -> optax.GradientTransformationExtraArgs:
    """Scale updates by minus the learning rate of the `epoch` given to `update`."""

    def init(params: Tree) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(
        updates: Tree, state: Tree, params: Tree = None, **extra: Array
    ) -> tuple[Tree, Tree]:
        del params
        lr = schedule(extra["epoch"])
        scaled = jax.tree.map(lambda u: -lr.astype(u.dtype) * u, updates)
        return scaled, state

    return optax.GradientTransformationExtraArgs(init, update)


def only_own(
    updates: Tree, *, present: Bool[Array, " m"], rows: Bool[Array, " k"]
) -> Tree:
    """Zero the updates, decay included, of what this batch has no part in.

    Args:
        updates: what is about to be added to the parameters.
        present: modalities in the batch; the slices of others stand still.
        rows: classifier rows of the stage; the others stand still.
    """

    def stand_still(name: str, update: Array) -> Array:
        if trees.matches(name, PER_CLASS):
            return jnp.where(jnp.expand_dims(rows, range(update.ndim - 1)), update, 0)
        if trees.matches(name, PER_MODALITY):
            return jnp.where(jnp.expand_dims(present, range(1, update.ndim)), update, 0)
        return update

    return trees.map_named(stand_still, updates)
