"""A method is a value: functions for the moments of a lifelong run, and their sum.

Nothing in the loop, the step or the checkpoint knows a method by name. A method is made
by a constructor (see `parts`) and joined with others by `combined.combine`; every slot
has a neutral default, and `combine(a=x, nothing=Method())` equals `combine(a=x)` bit
for bit.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key

from ckda_jax.structs import Batch, Outputs, StageInfo, Tree

Scalar = Float[Array, ""]
Metrics = dict[str, Array]
BlockCall = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepView:
    """What a method may read inside a training step; all arrays are traced.

    Attributes:
        batch: the augmented, normalised batch.
        student: what the trained model computed from it, in training mode.
        teacher: what the previous stage's model computed from the same images in
            evaluation mode; None in the first stage of a run.
        clean_prompt: computes the student's prompt `[m, b, h, w, 3]` in evaluation mode
            (no dropout, running statistics); gradients flow through it.
        extra: applies one of the method's own modules: `view.extra(name, *inputs)`.
        params: the student's parameters.
        memory: what the method carries between stages (its own part of it).
        stage: which stage this is.
        epoch: `[]` int32, 1-based.
        key: the method's own key for this step.
    """

    batch: Batch
    student: Outputs
    teacher: Outputs | None
    clean_prompt: Callable[[], Array]
    extra: Callable[..., Any]
    params: Tree
    memory: Tree
    stage: StageInfo
    epoch: Int[Array, ""]
    key: Key[Array, ""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForwardView:
    """What a method may read around a backbone block, in training and in evaluation.

    Attributes:
        layer: `[]` int32, 0-based index of the block inside the scanned backbone.
        modality: the static modality ids of the rows being processed.
        extra: applies one of the method's own modules.
        memory: what the method carries between stages (its own part of it).
        stage: `[]` int32, 0-based stage the model is learning or has last learned.
    """

    layer: Int[Array, ""]
    modality: tuple[int, ...]
    extra: Callable[..., Any]
    memory: Tree
    stage: Int[Array, ""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageEnd:
    """What a method may read at a stage's end, outside any compiled function.

    Attributes:
        variables: the model as the stage leaves it (merged, when consolidating).
        stage: the stage that ended.
        previous: the stage before it; None in the first stage of a run.
        datasets: names of the datasets the stage learned.
        labels: `[n]` int, identity of each training image, counted from 0 in the stage.
        modality: `[n]` int, modality of each training image.
        sums: `(rows, modality, count) -> [count, d]`, for each identity the sum of the
            unit embeddings of training images (rows of the two above, not augmented)
            from `variables`, through the prompts of the modality given; laid out over
            the devices like prototypes.
        key: a key of the method's own for this stage's end.
    """

    variables: Tree
    stage: StageInfo
    previous: StageInfo | None
    datasets: tuple[str, ...]
    labels: np.ndarray
    modality: np.ndarray
    sums: Callable[[np.ndarray, int, int], Array]
    key: Key[Array, ""]


@dataclasses.dataclass(frozen=True)
class Extra:
    """A module of a method's own, trained with the model.

    Attributes:
        module: a Flax module without mutable collections.
        inputs: picks the module's inputs from an `Outputs`, to initialise it.
    """

    module: nn.Module
    inputs: Callable[[Outputs], tuple[Any, ...]]


def no_memory(key: Array, variables: Tree) -> Tree:
    """Start with nothing, the default of `init`."""
    del key, variables
    return None


def no_begin(
    memory: Tree, variables: Tree, stage: StageInfo, key: Array
) -> tuple[Tree, Tree]:
    """Leave memory and variables alone, the default of `begin`."""
    del stage, key
    return memory, variables


def no_wrap(call: BlockCall, view: ForwardView) -> BlockCall:
    """Put nothing around a block, the default of `wrap`."""
    del view
    return call


def no_loss(view: StepView) -> tuple[Scalar, Metrics]:
    """Ask for nothing, the default of `loss`."""
    return jnp.zeros((), view.student.feature.dtype), {}


def no_projection(grads: Tree, grad_fn: Callable[..., Tree], view: StepView) -> Tree:
    """Leave gradients alone, the default of `project`."""
    del grad_fn, view
    return grads


def no_update(updates: Tree, view: StepView) -> Tree:
    """Leave updates alone, the default of `update`."""
    del view
    return updates


def no_merge(variables: Tree, teacher: Tree | None, end: StageEnd) -> Tree:
    """Keep what was trained, the default of `merge`."""
    del teacher, end
    return variables


def no_consolidation(memory: Tree, end: StageEnd) -> Tree:
    """Keep the memory, the default of `consolidate`."""
    del end
    return memory


def no_examples(memory: Tree) -> np.ndarray:
    """Mix nothing in, the default of `examples`."""
    del memory
    return np.zeros((0, 2), np.int32)


def plain_embed(
    apply: Callable[..., tuple[Array, Outputs]],
    variables: Tree,
    memory: Tree,
    images: Array,
    modality: tuple[int, ...],
) -> Array:
    """Take the model's own embedding, the default of `embed`."""
    del memory
    return apply(variables, images, modality=modality)[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """The moments of a lifelong run that a method may act on.

    A method value closes over its settings and is itself closed over by the compiled
    step; it is no pytree and never an argument of a compiled function. Parts that grow
    with the stages have a leading stage axis allocated by `init` and are chosen by
    `view.stage.index`, so no tree ever changes shape.

    Attributes:
        init: `(key, variables) -> memory`, what a run starts from.
        begin: `(memory, variables, stage, key) -> (memory, variables)`, what a new
            stage allocates or resets.
        wrap: `(block call, ForwardView) -> block call`, gates, adapters or prompt
            tokens around a block of the backbone.
        loss: `(StepView) -> (scalar, metrics)`.
        project: `(grads, grad_fn, StepView) -> grads`; `grad_fn(params, batch)` gives
            the gradient of the whole loss on other examples.
        update: `(updates, StepView) -> updates`, after the optimiser: what must survive
            Adam and weight decay.
        merge: `(variables, teacher, StageEnd) -> variables`, before `consolidate`.
        consolidate: `(memory, StageEnd) -> memory`.
        examples: `(memory) -> [n, 2]` int32, `(stage, row)` of training images to mix
            into the next stage's stream.
        embed: `(apply, variables, memory, images, modality) -> [r, b, d]`, what
            evaluation calls; `apply(variables, images, modality=)` runs the model.
        modules: the method's own modules by name.
    """

    init: Callable[..., Tree] = no_memory
    begin: Callable[..., tuple[Tree, Tree]] = no_begin
    wrap: Callable[[BlockCall, ForwardView], BlockCall] = no_wrap
    loss: Callable[[StepView], tuple[Scalar, Metrics]] = no_loss
    project: Callable[..., Tree] = no_projection
    update: Callable[[Tree, StepView], Tree] = no_update
    merge: Callable[..., Tree] = no_merge
    consolidate: Callable[[Tree, StageEnd], Tree] = no_consolidation
    examples: Callable[[Tree], np.ndarray] = no_examples
    embed: Callable[..., Array] = plain_embed
    modules: Mapping[str, Extra] = dataclasses.field(default_factory=dict)
