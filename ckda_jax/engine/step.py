"""One training step: augment, run teacher and student, differentiate, update."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Int, Key

from ckda_jax import keys
from ckda_jax.engine.finiteness import NONE, all_finite, first_not_finite, guarded
from ckda_jax.engine.optim import Optimiser, only_own, only_trained
from ckda_jax.engine.state import Frozen, TrainState
from ckda_jax.methods.base import Extra, ForwardView, Method, Metrics, Scalar, StepView
from ckda_jax.structs import Batch, Outputs, Tree

Step = Callable[[TrainState, Frozen, Batch], tuple[TrainState, Metrics]]
Prepare = Callable[[Key[Array, ""], Array], Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learner:
    """What learns: a model, the method it learns by, and how it is optimised.

    Attributes:
        model: a `ReIDModel`.
        method: the method; its own modules' parameters live under `params["extra"]`.
        optimiser: settings of the optimiser.
        prepare: `(key, images [m, b, h, w, 3] uint8) -> float`, augmentation and
            normalisation on the device.
        hold: keeps tokens `[r, b, n, d]` on the devices that have their rows, see
            `Cluster.hold`; None where there is no mesh.
    """

    model: nn.Module
    method: Method
    optimiser: Optimiser
    prepare: Prepare
    hold: Callable[[Array], Array] | None = None

    @property
    def modality(self) -> tuple[int, ...]:
        """All modality ids, in the order of the batch's first axis."""
        return tuple(range(self.model.modalities))

    def apply(
        self,
        variables: Tree,
        images: Array,
        *,
        memory: Tree,
        stage: Int[Array, ""],
        modality: tuple[int, ...],
        **options: Any,
    ) -> Any:
        """Run the model with the method's wrapping around each block."""

        def wrap(call: Any, layer: Array) -> Any:
            view = ForwardView(
                layer=layer,
                modality=modality,
                extra=self.extra(variables["params"]),
                memory=memory,
                stage=stage,
            )
            wrapped = self.method.wrap(call, view)
            hold = self.hold
            return wrapped if hold is None else lambda x: hold(wrapped(hold(x)))

        return self.model.apply(
            variables, images, modality=modality, wrap=wrap, **options
        )

    def embed(
        self,
        variables: Tree,
        images: Array,
        *,
        memory: Tree,
        stage: Int[Array, ""],
        modality: tuple[int, ...],
    ) -> Array:
        """Embed normalised images `[r, b, h, w, 3]` as evaluation does: `[r, b, d]`."""

        def apply(variables: Tree, images: Array, *, modality: tuple[int, ...]) -> Any:
            return self.apply(
                variables, images, memory=memory, stage=stage, modality=modality
            )

        return self.method.embed(apply, variables, memory, images, modality)

    def extra(self, params: Tree) -> Callable[..., Any]:
        """Bind the method's own modules to parameters: `extra(name, *inputs)`."""

        def call(name: str, *inputs: Any) -> Any:
            module = self.method.modules[name].module
            return module.apply({"params": params["extra"][name]}, *inputs)

        return call


def init_extra(
    modules: Mapping[str, Extra], key: Key[Array, ""], outputs: Outputs
) -> dict[str, Tree]:
    """Initialise a method's own modules from an example of the model's outputs."""
    made = {}
    for name, extra in modules.items():
        inputs = extra.inputs(outputs)
        made[name] = extra.module.init(keys.stream(key, name), *inputs)["params"]
    return made


def make_step(learner: Learner) -> Step:
    """Make the training step `(state, frozen, batch) -> (state, metrics)`.

    A pure function: jit it, shard it over a mesh or map it over devices. It compiles
    once for the first stage, where `frozen.teacher` is None, and once for all later
    stages. Metrics are scalars: `loss`, `loss/<part>`, `<part>/<metric>`, `grad_norm`,
    `lr`, `skipped`, `bad_leaf` and `finite`.

    Where the loss, a gradient or a statistic is not finite, the step counts and changes
    nothing else: `skipped` says how often that was so in this stage, `bad_leaf` which
    leaf of the gradient was the first not finite, or -1. `finite` says whether the new
    parameters are: not if the update itself was too large, which nothing undoes.
    """
    method, optimiser = learner.method, learner.optimiser

    def step(
        state: TrainState, frozen: Frozen, batch: Batch
    ) -> tuple[TrainState, Metrics]:
        chex.assert_rank([batch.images, batch.labels, batch.present], [5, 2, 1])
        batch = augmented(learner, state, frozen, batch)

        def loss_fn(params: Tree, batch: Batch) -> Any:
            return assess(learner, state.replace(params=params), frozen, batch)

        def grad_fn(params: Tree, batch: Batch) -> Tree:
            return jax.grad(loss_fn, has_aux=True)(params, batch)[0]

        (loss, aux), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params, batch
        )
        metrics, batch_stats, student, teacher = aux
        view = look(learner, state, frozen, batch, student, teacher)
        grads = method.project(grads, grad_fn, view)
        updates, opt_state = optimiser.transform(state.params).update(
            grads, state.opt_state, state.params, epoch=view.epoch
        )
        rows = frozen.stage.rows()
        updates = only_own(updates, present=batch.present, rows=rows)
        updates = method.update(updates, view)
        after = state.replace(
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
            step=state.step + 1,
        )
        grads = only_trained(grads)
        bad_leaf = first_not_finite(grads)
        sound = jnp.isfinite(loss) & (bad_leaf == NONE) & all_finite(batch_stats)
        after = guarded(state, after, sound)
        told = {
            "loss": loss,
            "grad_norm": optax.tree.norm(grads),
            "lr": optimiser.schedules()["base"](view.epoch),
            "skipped": after.skipped,
            "bad_leaf": bad_leaf,
            "finite": all_finite(after.params),
        }
        return after, told | metrics

    return step


def step_key(state: TrainState, frozen: Frozen) -> Key[Array, ""]:
    """Return the key of the step about to be taken."""
    return keys.at_step(state.key, stage=frozen.stage.index, step=state.step)


def augmented(
    learner: Learner, state: TrainState, frozen: Frozen, batch: Batch
) -> Batch:
    """Augment and normalise a batch as the step about to be taken does."""
    key = keys.stream(step_key(state, frozen), "augment")
    return batch.replace(images=learner.prepare(key, batch.images))


def assess(
    learner: Learner, state: TrainState, frozen: Frozen, batch: Batch
) -> tuple[Scalar, tuple[Metrics, Tree, Outputs, Outputs | None]]:
    """Run student and teacher on an augmented batch and compute the method's loss.

    Returns:
        The loss; and metrics, new statistics, the student's and the teacher's outputs.
    """
    student, batch_stats = study(learner, state, frozen, batch)
    teacher = teach(learner, frozen, batch)
    view = look(learner, state, frozen, batch, student, teacher)
    # TPUs and GPUs round what they multiply unless told otherwise, and a distance is a
    # small difference of large products.
    with jax.default_matmul_precision("highest"):
        loss, metrics = learner.method.loss(view)
    return loss, (metrics, batch_stats, student, teacher)


def study(
    learner: Learner, state: TrainState, frozen: Frozen, batch: Batch
) -> tuple[Outputs, Tree]:
    """Run the student in training mode; return its outputs and new statistics."""
    (_, student), changed = learner.apply(
        state.variables,
        batch.images,
        memory=frozen.memory,
        stage=frozen.stage.index,
        modality=learner.modality,
        train=True,
        present=batch.present,
        rngs={"dropout": keys.stream(step_key(state, frozen), "dropout")},
        mutable=["batch_stats"],
    )
    return student, changed["batch_stats"]


def teach(learner: Learner, frozen: Frozen, batch: Batch) -> Outputs | None:
    """Run the teacher in evaluation mode on the same images; None without a teacher."""
    if frozen.teacher is None:
        return None
    _, teacher = learner.apply(
        frozen.teacher,
        batch.images,
        memory=frozen.memory,
        stage=frozen.stage.index - 1,
        modality=learner.modality,
    )
    return jax.lax.stop_gradient(teacher)


def look(
    learner: Learner,
    state: TrainState,
    frozen: Frozen,
    batch: Batch,
    student: Outputs,
    teacher: Outputs | None,
) -> StepView:
    """Gather what a method may read in this step."""

    def clean_prompt() -> Array:
        return learner.model.apply(
            state.variables,
            batch.images,
            modality=learner.modality,
            train=False,
            method="prompt",
        )[0]

    return StepView(
        batch=batch,
        student=student,
        teacher=teacher,
        clean_prompt=clean_prompt,
        extra=learner.extra(state.params),
        params=state.params,
        memory=frozen.memory,
        stage=frozen.stage,
        epoch=state.step // frozen.stage.steps_per_epoch + 1,
        key=keys.stream(step_key(state, frozen), "method"),
    )
