"""The sum of methods: losses add up, everything else happens in the order given."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Array

from ckda_jax import keys
from ckda_jax.methods import base
from ckda_jax.methods.base import Extra, ForwardView, Method, StageEnd, StepView
from ckda_jax.structs import Tree

Parts = Mapping[str, Method]


def combine(**parts: Method) -> Method:
    """Join methods into one.

    Each part sees its own memory, key and modules only. Losses are summed, and the
    value of each is reported as `loss/<name>`; a part's own metrics become
    `<name>/<metric>`. The other slots run in the order of the parts, each on what the
    one before it left; in `embed` a part's `apply` returns the embedding of the parts
    before it.

    >>> import jax
    >>> from ckda_jax.methods.base import Method
    >>> counting = Method(init=lambda key, variables: 0)
    >>> combine(a=counting, b=Method()).init(jax.random.key(0), {})
    {'a': 0}
    """
    return Method(
        init=_init(_with(parts, "init", base.no_memory)),
        begin=_begin(_with(parts, "begin", base.no_begin)),
        wrap=_wrap(_with(parts, "wrap", base.no_wrap)),
        loss=_loss(_with(parts, "loss", base.no_loss)),
        project=_project(_with(parts, "project", base.no_projection)),
        update=_update(_with(parts, "update", base.no_update)),
        merge=_merge(_with(parts, "merge", base.no_merge)),
        consolidate=_consolidate(_with(parts, "consolidate", base.no_consolidation)),
        examples=_examples(_with(parts, "examples", base.no_examples)),
        embed=_embed(_with(parts, "embed", base.plain_embed)),
        modules=_modules(parts),
    )


def _with(parts: Parts, slot: str, neutral: Callable[..., Any]) -> Parts:
    """Keep the parts that fill a slot, so that a neutral part leaves no trace."""
    return {n: p for n, p in parts.items() if getattr(p, slot) is not neutral}


def _own_extra(extra: Callable[..., Any], name: str) -> Callable[..., Any]:
    return lambda module, *inputs: extra(f"{name}.{module}", *inputs)


def _own_step(view: StepView, name: str) -> StepView:
    return dataclasses.replace(
        view,
        memory=view.memory.get(name),
        extra=_own_extra(view.extra, name),
        key=keys.stream(view.key, name),
    )


def _own_forward(view: ForwardView, name: str) -> ForwardView:
    return dataclasses.replace(
        view, memory=view.memory.get(name), extra=_own_extra(view.extra, name)
    )


def _own_end(end: StageEnd, name: str) -> StageEnd:
    return dataclasses.replace(end, key=keys.stream(end.key, name))


def _init(parts: Parts) -> Callable[..., Tree]:
    def init(key: Array, variables: Tree) -> Tree:
        return {
            name: part.init(keys.stream(key, name), variables)
            for name, part in parts.items()
        }

    return init


def _begin(parts: Parts) -> Callable[..., tuple[Tree, Tree]]:
    def begin(memory: Tree, variables: Tree, stage: Any, key: Array) -> Any:
        memory = dict(memory)
        for name, part in parts.items():
            own, variables = part.begin(
                memory.get(name), variables, stage, keys.stream(key, name)
            )
            if own is not None:
                memory[name] = own
        return memory, variables

    return begin


def _wrap(parts: Parts) -> Callable[..., base.BlockCall]:
    def wrap(call: base.BlockCall, view: ForwardView) -> base.BlockCall:
        for name, part in parts.items():
            call = part.wrap(call, _own_forward(view, name))
        return call

    return wrap


def _loss(parts: Parts) -> Callable[[StepView], tuple[base.Scalar, base.Metrics]]:
    def loss(view: StepView) -> tuple[base.Scalar, base.Metrics]:
        total, metrics = base.no_loss(view)
        for name, part in parts.items():
            value, own = part.loss(_own_step(view, name))
            total = total + value
            metrics[f"loss/{name}"] = value
            metrics |= {f"{name}/{metric}": v for metric, v in own.items()}
        return total, metrics

    return loss


def _project(parts: Parts) -> Callable[..., Tree]:
    def project(grads: Tree, grad_fn: Callable[..., Tree], view: StepView) -> Tree:
        for name, part in parts.items():
            grads = part.project(grads, grad_fn, _own_step(view, name))
        return grads

    return project


def _update(parts: Parts) -> Callable[[Tree, StepView], Tree]:
    def update(updates: Tree, view: StepView) -> Tree:
        for name, part in parts.items():
            updates = part.update(updates, _own_step(view, name))
        return updates

    return update


def _merge(parts: Parts) -> Callable[..., Tree]:
    def merge(variables: Tree, teacher: Tree | None, end: StageEnd) -> Tree:
        for name, part in parts.items():
            own = dataclasses.replace(_own_end(end, name), variables=variables)
            variables = part.merge(variables, teacher, own)
        return variables

    return merge


def _consolidate(parts: Parts) -> Callable[[Tree, StageEnd], Tree]:
    def consolidate(memory: Tree, end: StageEnd) -> Tree:
        own = {
            name: part.consolidate(memory.get(name), _own_end(end, name))
            for name, part in parts.items()
        }
        return {**memory, **{n: m for n, m in own.items() if m is not None}}

    return consolidate


def _examples(parts: Parts) -> Callable[[Tree], np.ndarray]:
    def examples(memory: Tree) -> np.ndarray:
        chosen = [p.examples(memory.get(n)) for n, p in parts.items()]
        return np.concatenate([base.no_examples(memory), *chosen])

    return examples


def _embed(parts: Parts) -> Callable[..., Array]:
    def embed(
        apply: Callable[..., Any],
        variables: Tree,
        memory: Tree,
        images: Array,
        modality: tuple[int, ...],
    ) -> Array:
        for name, part in parts.items():
            apply = _embedding_of(part, apply, memory.get(name))
        return apply(variables, images, modality=modality)[0]

    return embed


def _embedding_of(
    part: Method, apply: Callable[..., Any], memory: Tree
) -> Callable[..., Any]:
    """Make an `apply` whose embedding is what the part makes of the one given."""

    def wrapped(variables: Tree, images: Array, *, modality: tuple[int, ...]) -> Any:
        _, out = apply(variables, images, modality=modality)
        return part.embed(apply, variables, memory, images, modality), out

    return wrapped


def _modules(parts: Parts) -> dict[str, Extra]:
    return {
        f"{name}.{module}": extra
        for name, part in parts.items()
        for module, extra in part.modules.items()
    }
