import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models import weights
from ckda_jax.structs import InputError
from ckda_jax.trees import named_leaves
from tests.models import tiny

GRID = (5, 2)
HEAD = {"head.weight": np.zeros((3, 48)), "head.bias": np.zeros(3)}
IGNORED = r"head\..*"


@pytest.fixture(scope="module")
def template():
    return tiny.drawn(tiny.model_shapes(tiny.model()))


@pytest.fixture(scope="module")
def state(golden):
    return tiny.part(golden("model_tiny"), "sd/")


@pytest.fixture(scope="module")
def timm(state):
    """A state as timm writes it, with a square positional table and a head."""
    names = [n for n in state if n.startswith("base.") and "_net" not in n]
    dropped = ("base.IN", "base.att_", "base.mod_embed", "base.feat_embed")
    kept = [n for n in names if not n.startswith(dropped)]
    backbone = {n.removeprefix("base."): state[n] for n in kept}
    table = np.random.default_rng(0).normal(size=(1, 1 + 9, 48)).astype(np.float32)
    return {**backbone, "pos_embed": table, **HEAD}


def test_import_and_export_are_inverse(state, template):
    variables, extras = weights.import_reference(state, template)
    chex.assert_trees_all_equal_shapes_and_dtypes(variables, template)
    back = weights.export_reference(variables, extras)
    assert back.keys() == state.keys()
    for name, value in back.items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


def test_every_array_goes_where_it_belongs(state, template):
    leaves = named_leaves(weights.import_reference(state, template)[0])
    mlp = state["base.blocks.1.mlp.fc1.weight"]
    np.testing.assert_array_equal(
        leaves["params/backbone/blocks/mlp/fc1/kernel"][1].T, mlp
    )
    patch = state["base.patch_embed.proj.weight"]
    kernel = leaves["params/backbone/patch_embed/proj/kernel"]
    assert kernel[3, 5, 1, 7] == patch[7, 1, 3, 5]
    modality = leaves["params/backbone/mod_embed"]
    np.testing.assert_array_equal(modality[0], state["base.mod_embed"][1, 0])
    np.testing.assert_array_equal(modality[1], state["base.mod_embed"][0, 0])
    mean = leaves["batch_stats/specific/norm/mean"]
    np.testing.assert_array_equal(mean[0], state["base.rgb_net.1.running_mean"])
    np.testing.assert_array_equal(mean[1], state["base.inf_net.1.running_mean"])
    gate = state["base.att_in.0.weight"]
    np.testing.assert_array_equal(
        leaves["params/common/gate_normalised/squeeze/kernel"], gate[:, :, 0, 0].T
    )


def test_a_further_modality_starts_as_infrared_does(state):
    template = tiny.drawn(tiny.model_shapes(tiny.model(modalities=4)))
    two = tiny.drawn(tiny.model_shapes(tiny.model()))
    found = named_leaves(weights.import_reference(state, template)[0])
    wanted = named_leaves(weights.import_reference(state, two)[0])
    for name, leaf in found.items():
        per_modality = "mod_embed" in name or "specific" in name
        rows = [0, 1, 1, 1] if per_modality else ...
        np.testing.assert_array_equal(leaf, np.asarray(wanted[name])[rows], name)


def test_extras_are_carried_by_name(state, template):
    _, extras = weights.import_reference(state, template)
    counters = [n for n in extras if n.endswith("num_batches_tracked")]
    assert len(counters) == 4
    assert set(extras) == {"base.feat_embed", *counters}


def test_import_takes_the_template_s_types(state, template, x64):
    double = jax.tree.map(lambda x: np.asarray(x, np.float64), template)
    variables, _ = weights.import_reference(state, double)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float64")}


def test_everything_that_does_not_fit_is_listed_together(state, template):
    broken = {**state, "stranger": np.zeros(1), "base.norm.bias": np.zeros(7)}
    del broken["base.blocks.0.norm1.bias"], broken["base.blocks.1.norm1.bias"]
    del broken["bottleneck.running_var"]
    with pytest.raises(InputError) as caught:
        weights.import_reference(broken, template)
    message = str(caught.value)
    assert "\n" not in message
    assert (
        "missing: base.blocks.{0,1}.norm1.bias; bottleneck.running_var" in message
        or (
            "base.blocks.{0,1}.norm1.bias" in message
            and "bottleneck.running_var" in message
        )
    )
    assert "extra: stranger" in message
    assert "misshapen: base.norm.bias is [7], wanted [48]" in message


def test_misfits_may_be_allowed_by_either_name(state, template):
    broken = {**state, "stranger": np.zeros(1), "base.norm.bias": np.zeros(7)}
    del broken["classifier.weight"]
    variables, _ = weights.import_reference(
        broken,
        template,
        allow_missing=r"classifier/kernel|base\.norm\.bias",
        allow_extra="stranger",
    )
    ours, given = named_leaves(variables), named_leaves(template)
    for name in ("params/classifier/kernel", "params/backbone/norm/bias"):
        np.testing.assert_array_equal(ours[name], given[name])


def test_one_missing_block_of_a_stack_keeps_its_own_values(state, template):
    part = {n: v for n, v in state.items() if n != "base.blocks.1.attn.proj.bias"}
    variables, _ = weights.import_reference(
        part, template, allow_missing=r"backbone/blocks/attn/proj/bias"
    )
    name = "params/backbone/blocks/attn/proj/bias"
    ours, given = named_leaves(variables)[name], named_leaves(template)[name]
    np.testing.assert_array_equal(ours[0], state["base.blocks.0.attn.proj.bias"])
    np.testing.assert_array_equal(ours[1], given[1])


def test_a_method_s_own_modules_keep_their_values(state, template):
    extra = {"critic": {"kernel": jnp.ones((2, 2))}}
    wider = {**template, "params": {**template["params"], "extra": extra}}
    variables, _ = weights.import_reference(state, wider)
    chex.assert_trees_all_equal(variables["params"]["extra"], extra)


def test_import_of_a_timm_transformer(timm, state, template):
    variables = weights.import_backbone(timm, template, grid=GRID, allow_extra=IGNORED)
    ours, given = named_leaves(variables), named_leaves(template)
    reference = named_leaves(weights.import_reference(state, template)[0])
    table = ours.pop("params/backbone/pos_embed")
    assert table.shape == (11, 48)
    np.testing.assert_array_equal(table[0], timm["pos_embed"][0, 0])
    for name, value in ours.items():
        is_backbone = name.startswith("params/backbone/") and "mod_embed" not in name
        expected = reference[name] if is_backbone else given[name]
        np.testing.assert_array_equal(value, expected, err_msg=name)


def test_a_head_is_refused_unless_allowed(timm, template):
    with pytest.raises(InputError, match=r"extra: head\.weight; head\.bias"):
        weights.import_backbone(timm, template, grid=GRID)


def test_another_architecture_is_refused(timm):
    wider = tiny.drawn(tiny.model_shapes(tiny.model(width=96, depth=1)))
    with pytest.raises(InputError) as caught:
        weights.import_backbone(timm, wider, grid=GRID, allow_extra=IGNORED)
    message = str(caught.value)
    assert "cls_token is [1, 1, 48], wanted [1, 1, 96]" in message
    assert "blocks.1.norm1.weight" in message


def test_a_table_that_is_no_square_must_fit(timm, template):
    given = {**timm, "pos_embed": np.zeros((1, 8, 48))}
    with pytest.raises(InputError, match=r"pos_embed is \[1, 8, 48\], wanted \[1, 11,"):
        weights.import_backbone(given, template, grid=GRID, allow_extra=IGNORED)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_own_backbones_come_back(stem):
    module = tiny.model(stem=stem)
    variables = tiny.drawn(tiny.model_shapes(module))
    grid = (4, 2) if stem == "conv" else GRID
    state = weights.export_backbone(variables, grid)
    assert state[weights.GRID].tolist() == [*grid]
    blank = jax.tree.map(jnp.zeros_like, variables)
    filled = named_leaves(weights.import_backbone(state, blank, grid=grid))
    for name, value in named_leaves(variables).items():
        own = name.startswith("params/backbone/") and "mod_embed" not in name
        expected = value if own else np.zeros_like(value)
        np.testing.assert_array_equal(filled[name], expected, err_msg=name)


@pytest.mark.parametrize(
    ("stem", "grids", "names"),
    [
        ("patch", (GRID, (6, 5)), ("pos_embed",)),
        ("conv", ((4, 2), (5, 4)), ("pos_embed", "pos_gain")),
    ],
)
def test_own_backbones_of_another_grid_are_resized(stem, grids, names):
    module = tiny.model(stem=stem)
    state = weights.export_backbone(tiny.drawn(tiny.model_shapes(module)), grids[0])
    larger = tiny.model(stem=stem, image_size=(80, 64))
    blank = tiny.drawn(tiny.model_shapes(larger))
    filled = weights.import_backbone(state, blank, grid=grids[1])
    for name in names:
        old, table = state[f"backbone/{name}"], filled["params"]["backbone"][name]
        assert table.shape == (1 + grids[1][0] * grids[1][1], 48)
        np.testing.assert_array_equal(table[0], old[0])
        # Corners are clamped: the first place of either grid is the same place.
        np.testing.assert_allclose(table[1], old[1], rtol=1e-6)


def test_half_precision_files_widen(timm, template):
    half = {name: np.asarray(value, np.float16) for name, value in timm.items()}
    variables = weights.import_backbone(half, template, grid=GRID, allow_extra=IGNORED)
    chex.assert_trees_all_equal_dtypes(variables, template)


def test_merge_of_extras_truncates_counters_and_mixes_floats(golden):
    arrays = golden("ema")
    new, old, merged = (
        tiny.part(arrays, f"diffcls/{part}/") for part in ("new", "old", "merged")
    )
    names = [*arrays["int_buffer_names"].tolist(), "base.feat_embed"]
    ours = weights.merge_extras({n: new[n] for n in names}, old, old_weight=0.7)
    for name, value in ours.items():
        assert value.dtype == merged[name].dtype
        np.testing.assert_allclose(value, merged[name], rtol=0, atol=1e-6, err_msg=name)


def test_merge_of_extras_leaves_other_shapes_alone():
    new, old = {"x": np.ones(2)}, {"x": np.zeros(3)}
    merged = weights.merge_extras(new, old, old_weight=0.7)
    np.testing.assert_array_equal(merged["x"], np.ones(2))
