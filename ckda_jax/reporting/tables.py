"""Tables of results: one content, for the screen, for Markdown and for the report."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table as ScreenTable
from rich.text import Text

from ckda_jax.reporting import scores as scores_lib
from ckda_jax.reporting.scores import METRICS, START, Results

NONE = "–"
WIDE = 240
PUBLISHED = {m: METRICS[m] for m in ("rank1", "rank10", "rank20", "mAP", "mINP")}
"""What papers on single datasets report, in their order."""

UNSEEN = "in brackets: not trained on yet"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A text of a table; `quiet` ones are shown in brackets and dimmed."""

    text: str
    quiet: bool = False

    def __str__(self) -> str:
        return f"({self.text})" if self.quiet and self.text != NONE else self.text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table before it is drawn: the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


def print_results(results: Results, console: Console | None = None) -> None:
    """Print the stage-by-dataset tables of one run.

    Args:
        results: the content of `results.json`.
        console: where to print; when absent, standard output.
    """
    print_tables(result_tables(results), console or Console(highlight=False))


def print_tables(tables: Sequence[Table], console: Console) -> None:
    """Print tables; where there is no terminal, each row in one line."""
    if not console.is_terminal:
        # A log has no width: rows stay in one piece.
        console = Console(file=console.file, width=WIDE, quiet=console.quiet)
    for table in tables:
        console.print(_on_screen(table))
        console.print(Text(table.caption, style="dim"))
        console.print()


def markdown_seeds(runs: Sequence[Results]) -> str:
    """Write one Markdown table over runs that differ in preset and seed.

    Args:
        runs: contents of `results.json`; those with the same preset are one row.

    Returns:
        A table of percentages at the run's end, `mean ± standard deviation` over seeds.
    """
    return _in_markdown(seed_table(runs)) + "\n"


def result_tables(results: Results) -> list[Table]:
    """Lay out the two tables of a run: what is known; what was lost and passed on."""
    return [score_table(results, ("mAP", "rank1")), memory_table(results)]


def score_table(results: Results, metrics: tuple[str, ...]) -> Table:
    """Lay out metrics by stage and dataset, with the average over the seen ones."""
    grid = scores_lib.grid(results)
    rows = []
    for i, stage in enumerate(grid.stages):
        cells = [Cell(scores_lib.stage_title(results, stage))]
        for j in range(len(grid.columns)):
            values = [grid.values[metric][i, j] for metric in metrics]
            cells.append(Cell(percents(values), quiet=not grid.seen[i, j]))
        cells.append(Cell(percents(_at(results, metrics, "seen_average", stage))))
        rows.append(tuple(cells))
    names = " / ".join(METRICS[metric] for metric in metrics)
    return Table(
        title=f"{names} in percent",
        header=("", *grid.columns, "seen average"),
        rows=tuple(rows),
        caption=UNSEEN,
    )


def memory_table(results: Results) -> Table:
    """Lay out mINP by stage and dataset, with forgetting and, below, the transfers."""
    table = score_table(results, ("mINP",))
    stages = scores_lib.grid(results).stages
    both = ("mAP", "rank1")
    rows = tuple(
        (*row, Cell(percents(_at(results, both, "forgetting", stage))))
        for row, stage in zip(table.rows, stages, strict=True)
    )
    return Table(
        title="mINP, and forgetting (mAP / rank-1), in percent",
        header=(*table.header, "forgetting"),
        rows=rows,
        caption=transfers(results),
    )


def protocol_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out evaluations by protocol, with the spread over their trials.

    Args:
        rows: as in `results.json`, under `protocols`.
    """
    header = ("", *PUBLISHED.values(), "queries / gallery", "trials")
    return Table(
        title="Scores by protocol, in percent",
        header=header,
        rows=tuple(_protocol_row(row) for row in rows),
        caption="mean ± standard deviation over the trials of a protocol",
    )


def run_table(runs: Sequence[Sequence[Mapping[str, Any]]]) -> Table:
    """Lay out the means over runs, one for each trial of RegDB say.

    Args:
        runs: the evaluations of each; an evaluation counts with those of the same
            dataset and protocol.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in itertools.chain(*runs):
        groups.setdefault(f"{row['dataset']} {row['protocol']}", []).append(row)
    rows = [
        (name, str(len(found)), *(_over(found, metric) for metric in PUBLISHED))
        for name, found in groups.items()
    ]
    return Table(
        title="Over runs, in percent",
        header=("", "runs", *PUBLISHED.values()),
        rows=tuple(tuple(map(Cell, row)) for row in rows),
        caption="mean ± standard deviation",
    )


def _over(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    return _mean_and_deviation([row[metric] for row in rows])


def _protocol_row(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    stage = "start" if row["stage"] == START else f"stage {row['stage'] + 1}"
    spread = row.get("spread", {})
    scores = [
        _percent(row[metric])
        + (f" ± {_percent(spread[metric])}" if metric in spread else "")
        for metric in PUBLISHED
    ]
    sizes = f"{row['queries']} / {row['gallery']}"
    named = f"{row['dataset']} {row['protocol']}, {stage}"
    return tuple(map(Cell, [named, *scores, sizes, str(row.get("trials", 1))]))


def transfers(results: Results) -> str:
    """Say in one line what later stages did to earlier datasets, and the reverse."""
    parts = []
    for name in ("backward_transfer", "forward_transfer"):
        values = [
            f"{METRICS[metric]} {signed(scores_lib.summary(results, metric, name))}"
            for metric in ("mAP", "rank1", "mINP")
        ]
        parts.append(f"{name.replace('_', ' ')}: {', '.join(values)}")
    return "; ".join(parts)


def seed_table(runs: Sequence[Results]) -> Table:
    """Lay out mean and spread over seeds, a row per preset, at the run's end."""
    by_preset: dict[str, list[Results]] = {}
    for run in runs:
        by_preset.setdefault(str(run.get("preset", "?")), []).append(run)
    columns = list(dict.fromkeys(c for r in runs for c in scores_lib.grid(r).columns))
    rows = []
    starts = [
        start for start in map(_start, next(iter(by_preset.values()), [])) if start
    ]
    if starts:
        rows.append(_seed_row("before stage 1", starts, columns))
    for preset, group in by_preset.items():
        rows.append(_seed_row(preset, [_final(run) for run in group], columns))
    header = ["preset", "seeds", *(f"{name} mAP" for name in columns)]
    header += [name for name, _, _ in _SUMMARIES]
    return Table(
        title="Results at the end, in percent, mean ± standard deviation over seeds",
        header=tuple(header),
        rows=tuple(rows),
        caption="forgetting and backward transfer in mAP",
    )


def percents(values: Sequence[float]) -> str:
    """Write fractions as percentages, one decimal.

    >>> percents([0.3625, 0.5]), percents([float("nan")])
    ('36.2 / 50.0', '–')
    """
    if all(math.isnan(value) for value in values):
        return NONE
    return " / ".join(NONE if math.isnan(v) else _percent(v) for v in values)


def signed(value: float) -> str:
    """Write a difference of fractions as percentage points, with its sign."""
    return NONE if math.isnan(value) else _percent(value, "+")


_SUMMARIES = (
    ("average mAP", "mAP", "seen_average"),
    ("average rank-1", "rank1", "seen_average"),
    ("average mINP", "mINP", "seen_average"),
    ("forgetting", "mAP", "forgetting"),
    ("backward transfer", "mAP", "backward_transfer"),
)


def _final(run: Results) -> dict[str, float]:
    """Collect the numbers of one run after its last stage, by column name."""
    grid = scores_lib.grid(run)
    numbers = {}
    if grid.stages:
        numbers = dict(zip(grid.columns, grid.values["mAP"][-1], strict=True))
    last = len(run.get("stages", [])) - 1
    for title, metric, name in _SUMMARIES:
        numbers[title] = scores_lib.summary(run, metric, name, last)
    return numbers


def _start(run: Results) -> dict[str, float]:
    """Collect the same numbers before stage 1, averaged over what is later seen."""
    grid = scores_lib.grid(run)
    if scores_lib.START not in grid.stages:
        return {}
    numbers = dict(zip(grid.columns, grid.values["mAP"][0], strict=True))
    for title, metric, name in _SUMMARIES:
        if name == "seen_average":
            numbers[title] = float(np.mean(grid.values[metric][0][grid.seen[-1]]))
    return numbers


def _seed_row(
    name: str, numbers: Sequence[Mapping[str, float]], columns: Sequence[str]
) -> tuple[Cell, ...]:
    titles = [*columns, *(title for title, _, _ in _SUMMARIES)]
    spread = [
        _mean_and_deviation([n.get(t, math.nan) for n in numbers]) for t in titles
    ]
    return tuple(map(Cell, [name, str(len(numbers)), *spread]))


def _mean_and_deviation(values: Sequence[float]) -> str:
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return NONE
    if len(known) == 1:
        return _percent(known[0])
    return f"{_percent(known.mean())} ± {_percent(known.std(ddof=1))}"


def _percent(fraction: float, sign: str = "") -> str:
    # The sum turns a rounded -0.0 into 0.0.
    return f"{round(100 * fraction, 1) + 0.0:{sign}.1f}".replace("-", "−")


def _at(results: Results, metrics: Sequence[str], name: str, stage: int) -> list[float]:
    return [scores_lib.summary(results, metric, name, stage) for metric in metrics]


def _on_screen(table: Table) -> ScreenTable:
    screen = ScreenTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
    for place, name in enumerate(table.header):
        screen.add_column(Text(name), justify="right" if place else "left")
    for row in table.rows:
        screen.add_row(*(Text(str(c), style="dim" if c.quiet else "") for c in row))
    return screen


def _in_markdown(table: Table) -> str:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    rule = ["---"] + ["---:"] * (len(table.header) - 1)
    parts = [line(table.header), line(rule), *(line(row) for row in table.rows)]
    return "\n".join([*parts, "", f"{table.title}; {table.caption}"])
