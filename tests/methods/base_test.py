import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.methods import base
from ckda_jax.methods.base import ForwardView, Method
from tests import tiny

NEUTRAL = Method()
KEY = jax.random.key(0)


def test_a_neutral_method_starts_and_keeps_nothing():
    assert NEUTRAL.init(KEY, {"params": {}}) is None
    memory, variables = {"a": 1}, {"params": 2}
    assert NEUTRAL.begin(memory, variables, tiny.stage(), KEY) == (memory, variables)
    end = tiny.stage_end(variables)
    assert NEUTRAL.merge(variables, {"params": 3}, end) is variables
    assert NEUTRAL.consolidate(memory, end) is memory
    assert not NEUTRAL.modules


def test_a_neutral_method_acts_on_no_step():
    view = tiny.view()
    loss, metrics = NEUTRAL.loss(view)
    assert loss == 0 and loss.dtype == view.student.feature.dtype and metrics == {}
    grads = {"kernel": jnp.ones(2)}
    assert NEUTRAL.project(grads, lambda params, batch: None, view) is grads
    assert NEUTRAL.update(grads, view) is grads
    forward = ForwardView(
        layer=jnp.int32(0),
        modality=(0, 1),
        extra=view.extra,
        memory=None,
        stage=jnp.int32(0),
    )
    assert NEUTRAL.wrap(jnp.negative, forward) is jnp.negative


def test_a_neutral_method_asks_for_no_examples():
    examples = NEUTRAL.examples(None)
    assert examples.shape == (0, 2) and examples.dtype == np.int32


def test_a_neutral_method_embeds_as_the_model_does():
    def apply(variables, images, *, modality):
        return variables * images[jnp.array(modality)], "outputs"

    images = jnp.arange(2.0)
    found = NEUTRAL.embed(apply, jnp.float32(3), None, images, (1,))
    assert found.tolist() == [3.0]


def test_slots_and_views_are_frozen_and_named():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NEUTRAL.loss = base.no_loss  # type: ignore[misc]
    with pytest.raises(TypeError):
        Method(base.no_memory)  # type: ignore[misc]
