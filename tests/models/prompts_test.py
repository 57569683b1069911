import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models import prompts
from tests.models import tiny

MAPS = {
    "projected": "com_mid_com_net_pre",
    "normalised": "com_mid_IN",
    "gate_projected": "com_mid_att_ori",
    "gate_normalised": "com_mid_att_in",
}


@pytest.fixture
def arrays(golden):
    return golden("prompts")


def both(arrays, dtype, train):
    """Run both generators, the same images through each modality."""
    model = tiny.model(param_dtype=dtype)
    variables = tiny.recorded_variables(model, arrays, "prompt")
    images = jnp.asarray(tiny.channels_last(arrays["x"]), dtype)
    apply = jax.jit(
        lambda v, x: model.apply(
            v, x, train=train, method="prompt", mutable=["batch_stats"]
        )
    )
    return apply(variables, jnp.stack([images, images]))


def test_patchify_orders_rows_as_recorded(arrays):
    images = tiny.channels_last(arrays["order/image"])
    rows = prompts.patchify(jnp.asarray(images), 16)
    chex.assert_trees_all_equal(np.asarray(rows).reshape(16, 768), arrays["order/rows"])
    back = prompts.unpatchify(rows, 16, (64, 32))
    chex.assert_trees_all_equal(np.asarray(back), images)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [("float64", 1e-12), ("float32", 2e-5)])
def test_prompts_equal_the_recorded_ones(arrays, x64, train, dtype, atol):
    (_, common, specific), moved = both(arrays, jnp.dtype(dtype), train)
    mode = "f64/train/" if train else "f64/eval/"
    names = ("com_prompts", "mod_prompts_rgb", "mod_prompts_inf")
    for ours, name in zip((common[0], *specific), names, strict=True):
        expected = tiny.channels_last(arrays[mode + name])
        chex.assert_trees_all_close(np.asarray(ours, np.float64), expected, atol=atol)
    ours, theirs = tiny.statistics(moved, arrays, mode + "buf_after/")
    chex.assert_trees_all_close(ours, theirs, atol=min(atol, 2e-6))


@pytest.mark.parametrize("train", [False, True])
def test_hidden_maps_equal_the_recorded_ones(arrays, x64, train):
    model = tiny.model(param_dtype=jnp.float64)
    variables = tiny.recorded_variables(model, arrays, "prompt")
    own = {name: tree["common"] for name, tree in variables.items()}
    images = jnp.asarray(tiny.channels_last(arrays["x"]), jnp.float64)
    generator = prompts.CommonPrompt(dropout=0.0, param_dtype=jnp.float64)
    (_, maps), _ = tiny.apply(
        generator, own, images, train=train, mutable=["batch_stats"]
    )
    for ours, theirs in MAPS.items():
        expected = arrays[f"f64/{'train' if train else 'eval'}/{theirs}"]
        if expected.ndim == 2:
            expected = expected.reshape(5, 8, 8)
        else:
            expected = np.moveaxis(expected.reshape(5, 8, 8), 1, 2)
        chex.assert_trees_all_close(np.asarray(maps[ours]), expected, atol=1e-12)


def test_eval_statistics_decide_the_common_prompt_at_test_time(arrays):
    images = jnp.asarray(tiny.channels_last(arrays["x"]))
    found = {}
    for option in ("running", "instance"):
        model = tiny.model(eval_statistics=option)
        variables = tiny.recorded_variables(model, arrays, "prompt")
        _, found[option], _ = tiny.apply(
            model, variables, jnp.stack([images, images]), method="prompt"
        )
    trained = tiny.channels_last(arrays["train/com_prompts"])
    running = tiny.channels_last(arrays["eval/com_prompts"])
    chex.assert_trees_all_close(np.asarray(found["instance"][0]), trained, atol=2e-5)
    chex.assert_trees_all_close(np.asarray(found["running"][0]), running, atol=2e-5)
    assert np.abs(trained - running).max() > 0.01


def specific_prompts(dropout=0.0):
    module = prompts.SpecificPrompts(patch_size=8, width=4, dropout=dropout)
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.normal(size=(2, 3, 16, 8, 3)), jnp.float32)
    variables = tiny.shapes(module, images, jnp.ones(2, bool), False)
    return module, images, tiny.drawn(variables)


def test_specific_prompts_are_one_per_modality():
    module, images, variables = specific_prompts()
    chex.assert_shape(variables["params"]["down"]["kernel"], (2, 192, 4))
    chex.assert_shape(variables["batch_stats"]["norm"]["mean"], (2, 4))
    first, second = variables["params"]["down"]["kernel"]
    assert jnp.abs(first - second).max() > 0.01
    apply = jax.jit(lambda v, *x: module.apply(v, *x, False))
    out = apply(variables, images, jnp.ones(2, bool))
    flipped = jax.tree.map(lambda x: x[::-1], (variables, images))
    swapped = apply(*flipped, jnp.ones(2, bool))
    chex.assert_trees_all_close(out, swapped[::-1], rtol=1e-6)


def test_statistics_of_an_absent_modality_stand_still():
    module, images, variables = specific_prompts()
    present = jnp.array([True, False])
    apply = jax.jit(lambda v, *x: module.apply(v, *x, True, mutable=["batch_stats"]))
    _, moved = apply(variables, images, present)
    before, after = variables["batch_stats"], moved["batch_stats"]
    chex.assert_trees_all_equal(*(jax.tree.map(lambda x: x[1], (before, after))))
    assert (before["norm"]["var"][0] != after["norm"]["var"][0]).all()


def test_prompt_dropout_acts_on_single_values():
    module, images, variables = specific_prompts(dropout=0.25)
    ones = jax.tree.map(lambda x: x, variables)
    ones["params"]["up"]["bias"] = jnp.full((2, 192), 6.0)
    ones["params"]["up"]["kernel"] = jnp.zeros((2, 4, 192))
    options = {"rngs": {"dropout": jax.random.key(2)}, "mutable": ["batch_stats"]}
    apply = jax.jit(lambda v, *x: module.apply(v, *x, True, **options))
    out, _ = apply(ones, images, jnp.ones(2, bool))
    assert set(np.unique(out).tolist()) == {0.0, 8.0}
    assert float(jnp.mean(out == 0)) == pytest.approx(0.25, abs=0.04)
    # Neighbouring channels of one pixel are dropped one by one.
    assert float(jnp.mean((out[..., 0] == 0) == (out[..., 1] == 0))) < 0.75


def test_gate_starts_as_a_pytorch_convolution_does():
    gate = prompts.PositionGate()
    params = tiny.init(gate, jnp.zeros((1, 4, 8)))["params"]
    assert 0.2 < jnp.abs(params["squeeze"]["kernel"]).max() <= 8**-0.5
    assert 0.4 < jnp.abs(params["expand"]["kernel"]).max() <= 2**-0.5
