"""FLOPs on paper next to those of the program, and to the published sizes."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from ckda_jax.models import flops
from ckda_jax.models.reid import ReIDModel
from ckda_jax.models.stem import Stem
from ckda_jax.trees import named_leaves
from tests import tiny
from tests.models.tiny import model_shapes, shapes


def twin(jaxpr: Any) -> int:
    """Count the products and convolutions of a traced program, one by one."""
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        result = equation.outvars[0].aval.shape
        if name == "dot_general":
            (summed, _), _ = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * math.prod(result) * math.prod(left[i] for i in summed)
        elif name == "conv_general_dilated":
            kernel, result = (
                equation.invars[1].aval.shape,
                equation.outvars[0].aval.shape,
            )
            total += 2 * math.prod(result) * math.prod(kernel[:-1])
        else:
            inner = [getattr(p, "jaxpr", p) for p in params.values()]
            inner = [program for program in inner if hasattr(program, "eqns")]
            total += params.get("length", 1) * sum(map(twin, inner))
    return total


@pytest.mark.parametrize(
    "changes",
    [{}, {"stem": "conv"}, {"modalities": 3, "prompt_patch_size": 4, "stride": 4}],
)
def test_flops_are_those_of_the_program(changes):
    model = tiny.model(**changes)
    images = jnp.zeros((1, 1, *model.image_size, 3))
    program = jax.make_jaxpr(lambda v: model.apply(v, images, (1,)))
    wanted = twin(program(model_shapes(model)).jaxpr)
    assert sum(flops.flops(model).values()) == wanted


def test_flops_are_those_that_xla_counts():
    # It counts sums and more as well, so the part is one of nearly nothing but products
    # and of no loop, whose body it counts once.
    stem = Stem("patch", 16, 12, 64)
    images = jnp.zeros((1, 1, 64, 32, 3))
    variables = shapes(stem, images)
    compiled = jax.jit(lambda v, x: stem.apply(v, x)).lower(variables, images).compile()
    model = ReIDModel(classes=1, image_size=(64, 32), width=64)
    analysis: Any = compiled.cost_analysis()
    counted = analysis["flops"]
    assert 1 <= counted / flops.flops(model)["stem"] < 1.01


def test_the_published_model_has_the_published_counts():
    model = ReIDModel(classes=395)
    found = flops.parts(model, model_shapes(model)["params"])
    sums = {
        group: tuple(sum(n) for n in zip(*(p[2:] for p in inside), strict=True))
        for group, inside in itertools.groupby(found, key=lambda part: part.group)
    }
    own = {part.part or part.group: part for part in found}
    assert sums["backbone"][0] == 85_809_408
    assert own["stem"].parameters == 590_592
    assert own["blocks"].parameters == 85_054_464
    assert own["specific prompts"].parameters == 50_784
    assert own["common prompt"].parameters == 13_144
    assert own["modality embedding"].parameters == 1_536
    assert sums["head"][0] == 1_536 + 303_360
    assert f"{sum(part.flops for part in found) / 1e9:.2f}" == "37.74"
    assert f"{sums['backbone'][1] / 1e9:.3f}" == "37.731"
    assert f"{sums['prompts'][1] / 1e6:.3f}" == "9.454"
    assert f"{own['specific prompts'].flops / 1e6:.3f}" == "6.291"
    assert f"{own['common prompt'].flops / 1e6:.3f}" == "3.162"
    assert f"{own['blocks'].flops / 12e9:.3f}" == "3.124"
    assert f"{own['classifier'].flops / 1e6:.1f}" == "0.6"


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_every_parameter_is_in_one_part(stem):
    model = tiny.model(stem=stem)
    params = {**model_shapes(model)["params"], "extra": {"gate": jnp.zeros(7)}}
    found = flops.parts(model, params)
    total = sum(math.prod(leaf.shape) for leaf in named_leaves(params).values())
    assert sum(part.parameters for part in found) == total
    assert found[-1] == flops.Part("method's own modules", "", 7, 0)
