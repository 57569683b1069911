from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ckda_jax import keys
from ckda_jax.methods.base import Extra, ForwardView, Method
from ckda_jax.methods.combined import combine
from tests import tiny

KEY = jax.random.key(0)


def constant(value, **metrics):
    return Method(loss=lambda view: (jnp.float32(value), metrics))


def affine(factor, shift):
    """A method whose slots all map x to factor x + shift, so that order shows."""

    def move(x):
        return factor * x + shift

    def embed(apply, variables, memory, images, modality):
        return move(apply(variables, images, modality=modality)[0])

    return Method(
        begin=lambda memory, variables, stage, key: (memory, move(variables)),
        wrap=lambda call, view: lambda x: move(call(x)),
        project=lambda grads, grad_fn, view: move(grads),
        update=lambda updates, view: move(updates),
        merge=lambda variables, teacher, end: move(variables),
        embed=embed,
    )


BOTH = combine(a=affine(10, 1), b=affine(2, 5))
"""Of x: 2 (10 x + 1) + 5, first a and then b."""


def forward(memory):
    return ForwardView(
        layer=jnp.int32(0),
        modality=(0, 1),
        extra=lambda name, *inputs: name,
        memory=memory,
        stage=jnp.int32(0),
    )


def test_losses_add_up_under_their_names():
    method = combine(a=constant(2.0, hits=jnp.float32(7)), b=constant(0.5))
    loss, metrics = method.loss(tiny.view({}))
    assert float(loss) == 2.5
    found = {name: float(value) for name, value in metrics.items()}
    assert found == {"loss/a": 2.0, "a/hits": 7.0, "loss/b": 0.5}


def test_the_other_slots_run_in_the_order_of_the_parts():
    view = tiny.view({})
    assert BOTH.begin({}, 3, tiny.stage(), KEY) == ({}, 67)
    assert BOTH.merge(3, None, tiny.stage_end(3)) == 67
    assert BOTH.project(3, jax.grad(jnp.sin), view) == BOTH.update(3, view) == 67
    call = BOTH.wrap(lambda x: x, forward({}))
    assert float(call(jnp.float32(3))) == 67
    swapped = combine(b=affine(2, 5), a=affine(10, 1))
    assert swapped.merge(3, None, tiny.stage_end(3)) == 111


def test_embed_goes_through_the_parts_and_keeps_the_outputs():
    seen = []

    def watch(apply, variables, memory, images, modality):
        embedding, out = apply(variables, images, modality=modality)
        seen.append((out, memory, modality))
        return embedding

    def apply(variables, images, *, modality):
        return variables * images, "outputs"

    method = combine(a=affine(10, 1), b=affine(2, 5), c=Method(embed=watch))
    found = method.embed(apply, 3, {"c": "own"}, jnp.float32(1), (1, 0))
    assert float(found) == 67 and seen == [("outputs", "own", (1, 0))]


def test_merge_shows_each_part_what_the_one_before_left():
    def look(variables, teacher, end):
        assert end.variables == variables == 31
        return variables + 1

    method = combine(a=affine(10, 1), b=Method(merge=look))
    assert method.merge(3, None, tiny.stage_end(3)) == 32


def test_memory_is_each_part_s_own():
    def part(start):
        return Method(
            init=lambda key, variables: {"count": start},
            begin=lambda memory, variables, stage, key: (
                {"count": memory["count"] + 1},
                variables,
            ),
            consolidate=lambda memory, end: {"count": 10 * memory["count"]},
            loss=lambda view: (jnp.float32(view.memory["count"]), {}),
            examples=lambda memory: np.array([[0, memory["count"]]], np.int32),
        )

    method = combine(a=part(1), b=part(5), c=Method())
    memory = method.init(KEY, {})
    assert memory == {"a": {"count": 1}, "b": {"count": 5}}
    begun, _ = method.begin(memory, {}, tiny.stage(), KEY)
    assert begun == {"a": {"count": 2}, "b": {"count": 6}}
    assert memory == {"a": {"count": 1}, "b": {"count": 5}}, "arguments stay"
    later = method.consolidate(begun, tiny.stage_end({}))
    assert later == {"a": {"count": 20}, "b": {"count": 60}}
    assert float(method.loss(tiny.view(later))[0]) == 80
    assert method.examples(later).tolist() == [[0, 20], [0, 60]]
    assert combine(c=Method()).examples({}).shape == (0, 2)


def test_wrap_sees_its_own_memory_and_modules():
    def wrap(call, view) -> Any:
        return lambda x: (view.memory, view.extra("map"))

    call = combine(a=Method(wrap=wrap)).wrap(lambda x: x, forward({"a": 1, "b": 2}))
    assert call(jnp.float32(0)) == (1, "a.map")


def test_keys_follow_the_name_and_not_the_place():
    def draw(key):
        return jax.random.uniform(key)

    def part():
        return Method(
            init=lambda key, variables: draw(key),
            begin=lambda memory, variables, stage, key: (draw(key), variables),
            loss=lambda view: (draw(view.key), {}),
            consolidate=lambda memory, end: draw(end.key),
        )

    alone, joined = combine(a=part()), combine(z=part(), a=part())
    view, end = tiny.view({}), tiny.stage_end({})
    expected = draw(keys.stream(KEY, "a"))
    for method in (alone, joined):
        assert method.init(KEY, {})["a"] == expected
        assert method.begin({}, {}, tiny.stage(), KEY)[0]["a"] == expected
        assert method.loss(view)[1]["loss/a"] == draw(keys.stream(view.key, "a"))
        assert method.consolidate({}, end)["a"] == draw(keys.stream(end.key, "a"))
    both = joined.init(KEY, {})
    assert both["a"] != both["z"]


def test_modules_are_named_after_their_part_at_any_depth():
    dense = Extra(nn.Dense(2), lambda out: (out.feature,))
    inner = combine(head=Method(modules={"map": dense}), other=Method())
    method = combine(outer=inner, last=Method(modules={"map": dense}))
    assert dict(method.modules) == {"outer.head.map": dense, "last.map": dense}


def test_extra_modules_are_reached_by_their_own_name_at_any_depth():
    part = Method(loss=lambda view: (view.extra("map", jnp.float32(2)), {}))
    view = tiny.view(
        {"outer": {}},
        extra=lambda name, x: {"outer.head.map": 3 * x}[name],
    )
    loss, metrics = combine(outer=combine(head=part)).loss(view)
    assert float(loss) == 6
    assert set(metrics) == {"loss/outer", "outer/loss/head"}


def test_a_neutral_part_leaves_no_trace():
    method = combine(a=affine(10, 1), b=constant(2.0), nothing=Method())
    assert method.init(KEY, {}) == {}
    assert method.begin({}, 3, tiny.stage(), KEY) == ({}, 31)
    loss, metrics = method.loss(tiny.view({}))
    assert float(loss) == 2.0 and set(metrics) == {"loss/b"}
    assert not method.modules


def test_nothing_combined_is_neutral():
    empty, view = combine(), tiny.view({})
    loss, metrics = empty.loss(view)
    assert loss == 0 and metrics == {}
    grads = {"kernel": jnp.ones(2)}
    chex.assert_trees_all_equal(empty.update(grads, view), grads)
