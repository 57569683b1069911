"""What the compiled step sends, and the reader of compiled programs that tells it."""

import dataclasses
import importlib
import json
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ckda_jax import trees
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.layout import Layout
from ckda_jax.engine.step import make_step
from ckda_jax.methods.base import Method
from tests import runs, tiny

IMAGE = jax.ShapeDtypeStruct((1, 8, 8, 2), jnp.float32)
KERNEL = jax.ShapeDtypeStruct((3, 3, 2, 5), jnp.float32)


@pytest.fixture
def benchmark(monkeypatch):
    """Import a file of `benchmarks/`, which is no package."""
    monkeypatch.setattr(sys, "path", [str(runs.ROOT / "benchmarks"), *sys.path])
    return importlib.import_module


@pytest.fixture(scope="module")
def cluster():
    """All devices of the tests: two."""
    return Cluster.of_all_devices()


def test_what_a_loop_sends_and_computes_counts_in_every_round(benchmark, cluster):
    rounds, rows, width = 3, 4, 8

    def chain(x, kernels):
        return jax.lax.scan(lambda x, kernel: (x @ kernel, None), x, kernels)[0]

    # Each device has half of what a product sums over, so that sums are sent.
    laid_out = NamedSharding(cluster.mesh, PartitionSpec(None, "data", None))
    kernels = jax.ShapeDtypeStruct((rounds, width, width), jnp.float32)
    kernels = jax.ShapeDtypeStruct(kernels.shape, kernels.dtype, sharding=laid_out)
    x = jax.ShapeDtypeStruct((rows, width), jnp.float32, sharding=cluster.replicated())
    step = jax.jit(chain, out_shardings=cluster.replicated())
    program = benchmark("hlo").read(step.lower(x, kernels).compile().as_text())
    sums = [each for each in program.collectives if each.times > 1]
    assert [(each.kind, each.size, each.devices, each.times) for each in sums] == [
        ("all-reduce", 4 * rows * width, 2, rounds)
    ]
    assert sums[0].sent == rounds * 4 * rows * width
    assert program.flops == rounds * 2 * rows * width * width / 2


def test_gathering_sends_all_but_the_own_part(benchmark, cluster):
    x = jax.ShapeDtypeStruct((6, 5), jnp.float32, sharding=cluster.over_devices(0))
    step = jax.jit(lambda x: x + 1, out_shardings=cluster.replicated())
    program = benchmark("hlo").read(step.lower(x).compile().as_text())
    assert program.sent() == {"all-gather": 6 * 5 * 4 / 2}


@pytest.mark.parametrize(("stride", "before", "pairs"), [(2, 1, 11), (1, 0, 18)])
def test_convolutions_count_without_padding(benchmark, stride, before, pairs):
    def convolve(image, kernel):
        names = ("NHWC", "HWIO", "NHWC")
        padding = [(before, 0)] * 2
        return jax.lax.conv_general_dilated(
            image, kernel, (stride, stride), padding, dimension_numbers=names
        )

    text = jax.jit(convolve).lower(IMAGE, KERNEL).compile().as_text()
    assert benchmark("hlo").read(text).flops == 2 * 2 * 5 * pairs**2


@pytest.mark.parametrize(
    ("groups", "devices"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}", 4),
        ("replica_groups=[2,4]<=[8]", 4),
        ("replica_groups=mesh['data'=4,'model'=2] {'data'}", 4),
        ("replica_groups=mesh['data'=4,'model'=2] {'data','model'}", 8),
        ("replica_groups=mesh['data'=4,'model'=2] {'data':(1)2}", 2),
        ("source_target_pairs={{0,1},{1,0}}", 2),
    ],
)
def test_every_way_to_write_groups_of_devices_is_read(benchmark, groups, devices):
    kind = "collective-permute" if "pairs" in groups else "all-gather"
    text = (
        "ENTRY %main (x: f32[2]) -> f32[8] {\n"
        "  %x = f32[2]{0} parameter(0)\n"
        f"  ROOT %y = bf16[3,4]{{1,0}} {kind}(%x), channel_id=1, {groups}, use=1\n"
        "}\n"
    )
    (found,) = benchmark("hlo").read(text).collectives
    assert (found.kind, found.size, found.devices) == (kind, 24, devices)


def test_the_model_sends_no_tokens(benchmark, cluster):
    """Rows stay on their devices: what is gathered is a feature per image at most.

    Merging modality and row into one axis makes XLA gather the whole batch.
    """
    model = tiny.model(depth=1)
    images = jnp.zeros((2, tiny.ROWS, *tiny.IMAGE_SIZE, 3))

    def loss(variables, images, key):
        (embedding, _), _ = model.apply(
            variables, images, train=True, rngs={"dropout": key}, mutable="batch_stats"
        )
        return jnp.sum(embedding**4)

    step = tiny.quick(jax.grad(loss), out_shardings=cluster.replicated())
    whole = cluster.replicate((tiny.variables(model), jax.random.key(0)))
    lowered = step.lower(whole[0], cluster.put(images, axis=1), whole[1])
    program = benchmark("hlo").read(lowered.compile().as_text())
    moved = [each.size for each in program.collectives if each.kind != "all-reduce"]
    features = 4 * 2 * tiny.ROWS * tiny.WIDTH
    assert max([0, *moved]) <= features
    assert program.sent()["all-reduce"] > 4 * model.width**2


def test_parameters_that_are_shared_out_come_to_the_tokens(benchmark, cluster):
    """And not tokens to parameters, which is what XLA does if it is left to it."""

    def compiled(layout):
        devices = dataclasses.replace(cluster, layout=layout)
        learns = tiny.learner(Method(), dropout=0.0, drop_path=0.0)
        learns = dataclasses.replace(learns, hold=devices.hold)
        made = tiny.variables(learns.model)
        state = devices.lay_out(tiny.state(learns, made))
        given = devices.replicate(tiny.frozen(Method(), made, 1))
        batch = devices.put(tiny.batch(1), axis=1)
        step = tiny.quick(devices.keep_layout(make_step(learns)))
        text = step.lower(state, given, batch).compile().as_text()
        return benchmark("hlo").read(text), made["params"]["backbone"]["blocks"]

    whole, _ = compiled(Layout())
    shared_out, blocks = compiled(Layout(parameters="fsdp", heads=2, large=100))
    moved = [
        each.size
        for each in shared_out.collectives
        if each.times > 1 and each.kind != "all-reduce"
    ]
    leaves = trees.named_leaves(blocks).items()
    kernels = [leaf[0].nbytes for name, leaf in leaves if name.endswith("/kernel")]
    assert sorted(moved) == sorted(kernels)
    assert shared_out.flops == whole.flops


def test_efficiency_is_the_share_of_useful_time(benchmark):
    scale = benchmark("scale")
    machine = scale.Machine(title="", flops=1e12, link=1e9)
    row = {
        "flops": 2e12,
        "sent": {"all-reduce": 1.5e9, "all-gather": 0.5e9},
        "sent_in_loops": 1e9,
        "collectives": 0,
        "collectives_in_loops": 0,
    }
    # Two seconds of computing, two of sending, one of which may hide.
    assert scale.efficiency(row, 1e12, machine) == [1 / 4, 1 / 3]


def test_table_has_a_line_for_each_program(benchmark, capsys, monkeypatch, tmp_path):
    scale = benchmark("scale")
    row = {
        "case": "fixed",
        "devices": 8,
        "flops": 4e12,
        "sent": {"all-reduce": 5e8},
        "sent_in_loops": 4e8,
        "collectives": 20,
        "collectives_in_loops": 12,
        "arguments": 2**30,
        "temporary": 2**31,
    }
    rows = [row, row | {"devices": 64, "flops": 1e12}]
    file = tmp_path / "scale.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in rows))
    monkeypatch.setattr(sys, "argv", ["scale.py", "--table", str(file)])
    scale.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    cells = [cell.strip() for cell in lines[3].split("|")]
    assert cells[1:7] == [
        scale.CASES["fixed"].title,
        "64",
        "1.00",
        "all-reduce 500",
        "20",
        "1.0 + 2.0",
    ]


def test_cases_keep_their_rows(benchmark):
    scale = benchmark("scale")
    weak, fixed = scale.CASES["base"], scale.CASES["fixed"]
    assert [weak.batch(devices) for devices in scale.DEVICES] == [256, 2048, 8192]
    assert {fixed.batch(devices) for devices in scale.DEVICES} == {256}
    for case in scale.CASES.values():
        config = scale.settings(case, 8)
        assert config.train.identities * config.train.images == case.batch(8)
    assert dataclasses.replace(weak, rows=8).batch(64) == 512
