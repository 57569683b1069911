import itertools

import jax
import jax.numpy as jnp
import pytest

from ckda_jax import keys

RUN = jax.random.key(7)


def bits(key):
    return tuple(jax.random.key_data(key).tolist())


def test_same_stage_and_step_draw_the_same():
    once = keys.at_step(RUN, stage=1, step=20)
    assert bits(once) == bits(keys.at_step(RUN, stage=1, step=20))
    traced = jax.jit(lambda s, t: keys.at_step(RUN, stage=s, step=t))
    assert bits(once) == bits(traced(jnp.int32(1), jnp.int32(20)))


def test_no_two_places_share_a_key():
    places = itertools.product(range(3), range(4))
    found = [bits(keys.at_step(RUN, stage=s, step=t)) for s, t in places]
    found += [bits(keys.at_stage(RUN, stage)) for stage in range(3)]
    found += [bits(RUN), bits(keys.stream(RUN, "step"))]
    assert len(set(found)) == len(found)


def test_another_run_draws_something_else():
    other = keys.at_step(jax.random.key(8), stage=0, step=0)
    assert bits(other) != bits(keys.at_step(RUN, stage=0, step=0))


def test_stream_is_told_by_its_name_in_any_process():
    # Python's own hash of a text changes from process to process.
    found = bits(keys.stream(RUN, "dropout"))
    assert found == bits(jax.random.fold_in(RUN, 0x9289EFC9))


@pytest.mark.parametrize("other", ["erasing", "Dropout", ""])
def test_streams_differ(other):
    assert bits(keys.stream(RUN, "dropout")) != bits(keys.stream(RUN, other))
