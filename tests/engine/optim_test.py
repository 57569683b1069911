import collections

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax import trees
from ckda_jax.engine.optim import GROUPS, Optimiser, Schedule, only_own, only_trained
from ckda_jax.models.reid import ReIDModel
from tests import tiny
from tests.models.tiny import model_shapes

# Of the released code, over its 50 epochs.
RATES = {
    "base": {1: 1.02e-4, 2: 2.01e-4, 3: 2.97370e-4, 4: 2.95335e-4, 49: 3.29303e-6},
    "pretrained": {1: 5.2e-5, 2: 1.01e-4, 3: 1.48698e-4, 50: 3e-6, 51: 3e-6},
}
PARAMS = {
    "backbone": {
        "blocks": {"bias": jnp.array([1.0, -2.0])},
        "cls_token": jnp.array([3.0]),
    },
    "neck": {"scale": jnp.array([1.0]), "bias": jnp.array([0.5])},
}
GRADS = [
    jax.tree.map(lambda p, s=scale: s * jnp.cos(3 * p + s), PARAMS)
    for scale in (0.5, -2.0, 1.0)
]


def adamw(p, grads, rates, decay):
    """AdamW by the book, in float64 (Loshchilov and Hutter 2019)."""
    p, m, v = np.asarray(p, np.float64), 0.0, 0.0
    for t, (g, lr) in enumerate(zip(grads, rates, strict=True), start=1):
        g = np.asarray(g, np.float64)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        p = p - lr * decay * p - lr * step
    return p


def descend(optimiser, epochs, params=PARAMS, grads=GRADS):
    transform = optimiser.transform(params)
    state = transform.init(params)
    for epoch, gradient in zip(epochs, grads, strict=False):
        updates, state = transform.update(
            gradient, state, params, epoch=jnp.int32(epoch)
        )
        params = jax.tree.map(jnp.add, params, updates)
    return params


@pytest.mark.parametrize("group", RATES)
def test_schedule_is_the_released_one(x64, group):
    schedule = Optimiser().schedules()[group]
    for epoch, rate in RATES[group].items():
        assert float(schedule(epoch)) == pytest.approx(rate, rel=3e-6)
    several = schedule(jnp.array([1, 50]))
    assert several.tolist() == pytest.approx([RATES[group][1], 3e-6])


def test_without_warm_up_the_first_epoch_is_on_the_cosine():
    schedule = Schedule(lr=1.0, lr_min=0.0, warmup_epochs=0, epochs=4)
    found = [float(schedule(epoch)) for epoch in (1, 2, 3, 4, 5)]
    expected = [0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0, 0]
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_updates_are_adamw_at_the_rate_of_the_epoch_and_group(decay):
    epochs = (1, 1, 3)
    optimiser = Optimiser(lr=0.1, pretrained_lr_factor=0.25, weight_decay=decay)
    found = descend(optimiser, epochs)
    group_of = {"backbone/blocks/bias": "pretrained"}
    grads = [trees.named_leaves(g) for g in GRADS]
    for name, leaf in trees.named_leaves(PARAMS).items():
        if name == "neck/bias":
            continue
        schedule = optimiser.schedules()[group_of.get(name, "base")]
        rates = [float(schedule(epoch)) for epoch in epochs]
        expected = adamw(leaf, [g[name] for g in grads], rates, decay)
        actual = np.asarray(trees.named_leaves(found)[name], np.float64)
        chex.assert_trees_all_close(actual, expected, rtol=1e-5)


def test_the_neck_s_bias_is_frozen_and_does_not_decay():
    found = descend(Optimiser(lr=0.1, weight_decay=0.5), (1, 2, 3))
    assert found["neck"]["bias"].tolist() == [0.5]
    assert found["neck"]["scale"].tolist() != [1.0]


def test_clipping_bounds_the_global_norm():
    # Adam forgets the scale of its first gradient, so look at a second one.
    large = [jax.tree.map(lambda g: 100 * g, GRADS[0]), GRADS[1]]
    norm = np.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(large[0])))
    clipped = [jax.tree.map(lambda g: g * (2.5 / norm), large[0]), GRADS[1]]
    norm = np.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(GRADS[1])))
    clipped[1] = jax.tree.map(lambda g: g * min(1, 2.5 / norm), GRADS[1])
    found = descend(Optimiser(clip_norm=2.5), (1, 1), grads=large)
    expected = descend(Optimiser(), (1, 1), grads=clipped)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)
    plain = descend(Optimiser(), (1, 1), grads=large)
    assert abs(float(found["neck"]["scale"][0] - plain["neck"]["scale"][0])) > 1e-6


def test_groups_cover_every_parameter_of_the_full_model():
    params = model_shapes(ReIDModel(classes=395))["params"]
    extra = {"gate": jax.ShapeDtypeStruct((3, 8), jnp.float32)}
    labels = trees.label({**params, "extra": extra}, GROUPS)
    assert labels["extra"]["gate"] == "base"
    counts, sizes = collections.Counter(), collections.Counter()
    leaves = trees.named_leaves(params)
    for name, group in trees.named_leaves(trees.label(params, GROUPS)).items():
        counts[group] += 1
        sizes[group] += leaves[name].size
    assert counts == {"pretrained": 14, "base": 23, "frozen": 1}
    assert sizes == {"pretrained": 85_645_056, "base": 533_944, "frozen": 768}


def test_only_own_lets_the_others_stand_still():
    params = model_shapes(tiny.model())["params"]
    ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), params)
    rows = tiny.stage(1).rows()
    found = only_own(ones, present=jnp.array([True, False]), rows=rows)
    for name, leaf in trees.named_leaves(found).items():
        if name == "classifier/kernel":
            assert (leaf == rows[None]).all()
        elif name.startswith("specific/") or name == "backbone/mod_embed":
            assert (leaf[0] == 1).all() and (leaf[1] == 0).all()
        else:
            assert (leaf == 1).all()


def test_only_trained_lets_the_frozen_group_stand_still():
    params = model_shapes(tiny.model())["params"]
    ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), params)
    found = trees.named_leaves(only_trained(ones))
    assert not found.pop("neck/bias").any()
    assert all(leaf.all() for leaf in found.values())
