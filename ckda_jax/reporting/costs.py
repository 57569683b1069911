"""The cost of a model as tables: what it is on paper, and what was measured."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ckda_jax.reporting.tables import NONE, Cell, Table

Content = Mapping[str, Any]
"""What `python -m ckda_jax.cost --json` writes."""

GIB = 2**30
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def paper_tables(content: Content) -> list[Table]:
    """Lay out parameters and FLOPs by part, groups of several parts summed up."""
    parts = [part for part in content["parts"] if part["parameters"]]
    total = _sum("total", parts)
    rows = []
    for group, members in itertools.groupby(parts, key=lambda part: part["group"]):
        inside = list(members)
        rows.append(_part_row(_sum(group, inside), total))
        named = [{**part, "name": f"  {part['part']}"} for part in inside]
        rows += [_part_row(part, total) for part in named if part["part"]]
    rows.append(_part_row(total, total))
    images = content["images_per_step"]
    steps = ", ".join(
        f"{number(flops)}FLOP in {name}"
        for name, flops in content["step_flops"].items()
    )
    return [
        Table(
            title=f"On paper: {content['model']}",
            header=("part", "parameters", "%", "FLOPs per image", "%"),
            rows=tuple(rows),
            caption=f"{content['convention']}\n"
            f"a training step of {images} images: {steps}",
        )
    ]


def measured_tables(content: Content) -> list[Table]:
    """Lay out what was measured: each side by batch size, then the pairs."""
    forward = sum(part["flops"] for part in content["parts"])
    header = ("batch", "", "p50 ms", "p99 ms", "images/s", "FLOP/s", "GiB", "compile s")
    rows = [
        _side_row(row["batch"], side, row[side], forward)
        for row in content["batches"]
        for side in ("prompted", "bare")
    ]
    pairs, rounds = [_pair_row(row) for row in content["batches"]], content["repeats"]
    peak = content["peak_bytes"]
    device = f", of the device {gib(peak['device'])} GiB" if peak["device"] else ""
    return [
        Table(
            title=f"Embedding {content['modality']} images",
            header=header,
            rows=tuple(rows),
            caption=f"{content['dtype']} on {content['device']}, {content['cores']} "
            f"cores, JAX {content['jax']}\nGiB: of the program, weights included; at "
            f"the peak of the process {gib(peak['process'])} GiB{device}",
        ),
        Table(
            title="What prompting adds",
            header=("batch", "with - without", "95 %", "prompts alone", "95 %"),
            rows=tuple(pairs),
            caption="to the latency of the bare backbone: medians of the ratios of "
            f"{rounds} rounds",
        ),
    ]


def number(value: float | int) -> str:
    """Write a large number to four digits, with a space and the prefix of its unit.

    >>> number(37_741_000_000), number(607_000), number(12)
    ('37.74 G', '607.0 k', '12 ')
    """
    for size, prefix in UNITS:
        if value >= size:
            return f"{value / size:#.4g} {prefix}"
    return f"{value:.0f} "


def gib(count: int) -> str:
    """Write a number of bytes in GiB."""
    return f"{count / GIB:.2f}"


def _sum(name: str, parts: Sequence[Content]) -> dict[str, Any]:
    sums = {key: sum(part[key] for part in parts) for key in ("parameters", "flops")}
    return {"name": name, **sums}


def _part_row(part: Content, total: Content) -> tuple[Cell, ...]:
    keys = ("parameters", "flops")
    shares = {key: f"{100 * part[key] / total[key]:.3f}" for key in keys}
    flops = part["flops"]
    cells = (
        part["name"],
        f"{part['parameters']:,}",
        shares["parameters"],
        number(flops).strip() if flops else NONE,
        shares["flops"] if flops else NONE,
    )
    return tuple(Cell(text) for text in cells)


def _side_row(
    batch: int, side: str, found: Content, forward: float | int
) -> tuple[Cell, ...]:
    cells: Sequence[str] = (
        str(batch),
        side,
        f"{1000 * found['p50_seconds']:.1f}",
        f"{1000 * found['p99_seconds']:.1f}",
        f"{found['images_per_second']:.1f}",
        number(found["images_per_second"] * forward).strip(),
        gib(found["memory_bytes"]),
        f"{found['compile_seconds']:.1f}",
    )
    return tuple(Cell(text) for text in cells)


def _pair_row(row: Content) -> tuple[Cell, ...]:
    whole, alone = row["prompted"]["to_bare"], row["prompts"]["to_bare"]
    cells = (
        str(row["batch"]),
        f"{100 * (whole['median'] - 1):+.2f} %",
        f"{100 * (whole['low'] - 1):+.2f} to {100 * (whole['high'] - 1):+.2f}",
        f"{100 * alone['median']:.2f} %",
        f"{100 * alone['low']:.2f} to {100 * alone['high']:.2f}",
    )
    return tuple(Cell(text) for text in cells)
