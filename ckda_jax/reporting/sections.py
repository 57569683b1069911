"""The sections of a report, each from what a run has left, or a sentence without it."""

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

from ckda_jax.reporting import history as history_lib
from ckda_jax.reporting import pictures, promptmaps, tables
from ckda_jax.reporting import rankings as rankings_lib
from ckda_jax.reporting import scores as scores_lib
from ckda_jax.reporting.history import History
from ckda_jax.reporting.markup import Html, tag
from ckda_jax.reporting.rundir import RunDirectory
from ckda_jax.reporting.tables import Table

MOST_CARDS = 500
"""Gallery images in a report; more would take it past a few megabytes."""


def scores(run: RunDirectory) -> list[Html]:
    """Show what was known of every dataset after every stage."""
    if not run.results.get("evaluations"):
        return [_missing("The run has not been evaluated yet.")]
    epochs = run.config.get("train", {}).get("epochs")
    content = [
        tag("p", "What the model retrieves of every dataset after every stage. Hatched "
            "cells were measured before the dataset was trained on.", class_="muted"),
        tag("figure", pictures.heat_maps(run.results)),
        tag("figure", pictures.score_curves(run.results, epochs)),
        tag("p", "Thin lines with hollow points: before the dataset was trained on.",
            class_="muted"),
    ]  # fmt: skip
    shown = tables.result_tables(run.results)
    if run.results.get("protocols"):
        shown.append(tables.protocol_table(run.results["protocols"]))
    for table in shown:
        content += [tag("h3", table.title), _table(table)]
    return content


def terms(run: RunDirectory, history: History) -> list[Html]:
    """Show how large every loss term is beside the others: does what protects act?"""
    if not history.named(history_lib.TERM):
        return [_missing("No loss term has been logged yet.")]
    content = [
        tag("p", "Every term as it enters the loss, its weight included. Thick lines: "
            "terms that act from the second stage on, and so protect what was learnt.",
            class_="muted"),
        tag("figure", pictures.loss_terms(history, stage_names(run))),
        tag("h3", "Mean over the last quarter of each stage, and share of the loss"),
        _table(term_table(history)),
    ]  # fmt: skip
    content.append(tag("h3", "Share of each term in the gradient"))
    if not history.named(history_lib.GRADIENT_SHARE):
        content.append(
            _missing("Not measured; config.train.gradients_every sets how often it is.")
        )
        return content
    return [
        *content,
        tag("p", "How long a term's own gradient is, over everything trained, beside "
            "the sum of all terms' lengths. A term near zero moves next to nothing, "
            "however large its value.", class_="muted"),
        tag("figure", pictures.gradient_shares(history, stage_names(run))),
    ]  # fmt: skip


def term_table(history: History) -> Table:
    """Lay out every loss term by stage: its late mean and its share of their sum."""
    means = history_lib.late_means(history)
    rows = []
    for name, by_stage in means.items():
        cells = [tables.Cell(name)]
        for stage, mean in by_stage.items():
            total = sum(abs(m[stage]) for m in means.values() if not isnan(m[stage]))
            acts = not isnan(mean) and abs(mean) > history_lib.NEGLIGIBLE
            text = (
                f"{mean:.3g} · {100 * abs(mean) / total:.1f}%" if acts else tables.NONE
            )
            cells.append(tables.Cell(text, quiet=not acts))
        rows.append(tuple(cells))
    return tables.Table(
        title="loss terms",
        header=("", *(f"stage {stage + 1}" for stage in history.spans)),
        rows=tuple(rows),
    )


def rankings(run: RunDirectory, *, images: bool) -> list[Html]:
    """Show what the last evaluation found first for a few queries."""
    examples = [example for example in run.examples if example.queries]
    if not examples:
        return [_missing("The run has left no ranked lists.")]
    most = max(1, MOST_CARDS // (len(examples) * (rankings_lib.FIRST + 1)))
    text = "A query and the gallery images nearest to it after the last stage. "
    text += "Solid green frame with ✓: the same person; dashed, orange with ✗: not. "
    if not images:
        text += "Images are left out, as the run's config asks."
    content = [tag("p", text, class_="muted")]
    for example in examples:
        content.append(
            rankings_lib.ranked_lists(example, images=images, most=most, root=run.path)
        )
    return content


def prompts(run: RunDirectory, *, images: bool) -> list[Html]:
    """Show where the prompts act, per dataset."""
    examples = [example for example in run.examples if example.prompts is not None]
    if not examples:
        return [_missing("The run has left no prompt maps.")]
    text = (
        "Mean absolute prompt over the colour channels, in units of the normalised "
        "input it is added to. The scale is one per dataset and kind."
    )
    blocks = [
        promptmaps.prompt_maps(example, run.modalities, images=images)
        for example in examples
    ]
    return [tag("p", text, class_="muted"), tag("div", *blocks, class_="blocks")]


def training(run: RunDirectory, history: History) -> list[Html]:
    """Show how training went step by step."""
    drawing = pictures.training(history, stage_names(run))
    if drawing is None:
        return [_missing("No step has been logged yet.")]
    return [tag("figure", drawing)]


def config(run: RunDirectory) -> list[Html]:
    """List the config, folded away."""
    if not run.config:
        return [_missing("The run has left no config.")]
    groups: dict[str, list[Html]] = {}
    for name, value in flatten(run.config):
        cells = tag("td", name), tag("td", value)
        groups.setdefault(name.split(".")[0], []).append(tag("tr", *cells))
    content = [tag("table", tag("tbody", *rows)) for rows in groups.values()]
    shown = tag("summary", "Every key of the run")
    return [tag("details", shown, tag("div", *content, class_="config"))]


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """List the keys of a config by their dotted names.

    >>> list(flatten({"seed": 0, "optim": {"lr": 0.1}}))
    [('seed', '0'), ('optim.lr', '0.1')]
    """
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{prefix}{name}", text


def stages(run: RunDirectory) -> list[list[str]]:
    """List the datasets of every stage, from the results or else from the config."""
    if "stages" in run.results:
        return run.results["stages"]
    stages = list(run.config.get("stages", []))
    return [stages] if run.config.get("joint") else [[name] for name in stages]


def stage_names(run: RunDirectory) -> dict[int, str]:
    """Name every stage briefly, for the space above a picture."""
    return {
        stage: f"{stage + 1} · {scores_lib.stage_datasets(datasets)}"
        for stage, datasets in enumerate(stages(run))
    }


def _table(table: Table) -> Html:
    head = tag("thead", tag("tr", *(tag("th", name) for name in table.header)))
    rows = []
    for row in table.rows:
        cells = [tag("td", c, class_="quiet" if c.quiet else None) for c in row]
        rows.append(tag("tr", *cells))
    caption = tag("caption", table.caption) if table.caption else Html("")
    return tag("div", tag("table", caption, head, tag("tbody", *rows)), class_="wide")


def _missing(sentence: str) -> Html:
    return tag("p", sentence, class_="muted")
