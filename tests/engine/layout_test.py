"""The rules of the layout, by name and shape; no array is made."""

import jax
import pytest
from jax.sharding import PartitionSpec as P

from ckda_jax.engine.layout import LARGE, REPLICATED, Layout
from ckda_jax.methods.base import Method
from ckda_jax.models.reid import ReIDModel
from ckda_jax.trees import named_leaves
from tests import tiny

MESH = {"data": 4, "model": 2}
ALONG_DATA = {"data": 4, "model": 1}
BLOCKS = "params/backbone/blocks"
FSDP = Layout(parameters="fsdp", heads=12)


@pytest.mark.parametrize(
    ("name", "shape", "over_model", "over_both"),
    [
        (
            f"{BLOCKS}/attn/qkv/kernel",
            (12, 768, 2304),
            P(None, None, "model"),
            P(None, "data", "model"),
        ),
        (
            f"{BLOCKS}/attn/proj/kernel",
            (12, 768, 768),
            P(None, "model"),
            P(None, "model", "data"),
        ),
        (
            f"{BLOCKS}/mlp/fc1/kernel",
            (12, 768, 3072),
            P(None, None, "model"),
            P(None, "data", "model"),
        ),
        (
            f"{BLOCKS}/mlp/fc2/kernel",
            (12, 3072, 768),
            P(None, "model"),
            P(None, "model", "data"),
        ),
        (
            "params/classifier/kernel",
            (768, 10**6),
            P(None, "model"),
            P("data", "model"),
        ),
        (
            "memory/alignment/prototypes",
            (2, 10**6, 768),
            P(None, "model"),
            P(None, "model", "data"),
        ),
        (
            "alignment/mask",
            (2, 10**6),
            P(None, "model"),
            P(None, "model"),
        ),
        ("sums", (1000, 768), P("model"), P("model", "data")),
        (
            "params/backbone/pos_embed",
            (211, 768),
            P(),
            P(None, "data"),
        ),
        ("params/neck/scale", (768,), P(), P()),
        ("step", (), P(), P()),
    ],
)
def test_each_axis_has_its_place(name, shape, over_model, over_both):
    assert Layout(heads=12).spec(name, shape, MESH) == over_model
    assert FSDP.spec(name, shape, MESH) == over_both
    assert REPLICATED.spec(name, shape, ALONG_DATA) == P()
    assert FSDP.spec(name, shape, {"data": 1, "model": 1}) == P()


def test_the_largest_axis_that_the_devices_divide_is_shared_out():
    assert FSDP.spec("a", (500, 1000), ALONG_DATA) == P(None, "data")
    assert FSDP.spec("a", (500, 1001), ALONG_DATA) == P("data")
    assert FSDP.spec("a", (501, 1001), ALONG_DATA) == P()


def test_the_axis_of_the_layers_stays_whole_whatever_its_length():
    spec = FSDP.spec(f"{BLOCKS}/norm1/scale", (4096, 31), ALONG_DATA)
    assert spec == P()


def test_heads_stay_whole():
    name, shape = f"{BLOCKS}/attn/qkv/kernel", (12, 768, 2304)
    over_three = {"data": 1, "model": 3}
    assert Layout(heads=12).spec(name, shape, over_three)[2] == "model"
    assert Layout(heads=8).spec(name, shape, over_three) == P()


def test_identities_that_the_devices_do_not_divide_are_not_shared_out():
    name = "params/classifier/kernel"
    assert Layout().spec(name, (768, 1001), MESH) == P()
    assert FSDP.spec(name, (768, 1001), MESH) == P("data")


def test_small_arrays_are_on_every_device():
    assert FSDP.spec("a", (LARGE // 4, 4), ALONG_DATA) == P("data")
    assert FSDP.spec("a", (LARGE // 4 - 1, 4), ALONG_DATA) == P()


def test_every_large_parameter_of_the_default_model_is_shared_out():
    model = ReIDModel(classes=2000)
    images = jax.ShapeDtypeStruct((2, 1, 256, 128, 3), "float32")
    made = jax.eval_shape(model.init, jax.random.key(0), images)
    shapes = {n: leaf.shape for n, leaf in named_leaves(made["params"]).items()}
    specs = {n: FSDP.spec(n, s, {"data": 8, "model": 1}) for n, s in shapes.items()}
    whole = {n for n, spec in specs.items() if "data" not in spec}
    assert "backbone/blocks/mlp/fc1/kernel" not in whole
    numbers = sum(leaf.size for n, leaf in named_leaves(made["params"]).items())
    left = sum(
        leaf.size for n, leaf in named_leaves(made["params"]).items() if n in whole
    )
    assert left < 0.005 * numbers


def test_moments_are_laid_out_as_their_parameters():
    learns = tiny.learner(Method())
    made = tiny.variables(learns.model)
    rules = Layout(parameters="fsdp", heads=2, large=64)
    params = {
        name: rules.spec(name, leaf.shape, {"data": 2, "model": 2})
        for name, leaf in named_leaves(made["params"]).items()
    }
    assert sum(any(spec) for spec in params.values()) > 10
    moments = 0
    for name, leaf in named_leaves(tiny.state(learns, made)).items():
        of, _, parameter = name.partition("/mu/" if "/mu/" in name else "/nu/")
        if parameter and of.startswith("opt_state"):
            spec = rules.spec(name, leaf.shape, {"data": 2, "model": 2})
            assert spec == params[parameter], name
            moments += 1
    assert moments == 2 * (len(params) - 1)  # the neck's bias is never trained
