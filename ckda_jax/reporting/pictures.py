"""The pictures of a report: heat maps, score curves, loss terms, training."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullFormatter

from ckda_jax.reporting import history as history_lib
from ckda_jax.reporting import scores as scores_lib
from ckda_jax.reporting.figure import inline, style
from ckda_jax.reporting.history import History
from ckda_jax.reporting.markup import Html
from ckda_jax.reporting.scores import METRICS, START, Results, Scores
from ckda_jax.reporting.theme import COLOURS, INK, LINE, SHADE

WIDTH = 11.4
"""Inches; the page is about this wide."""

DASHES = ("-", "--", ":", "-.")


def colour(place: int) -> str:
    """Return the colour of the line at a place, the same in every picture."""
    return COLOURS[place % len(COLOURS)]


def dash(place: int) -> str:
    """Return the dashes of a line; they change where the colours start again."""
    return DASHES[place // len(COLOURS) % len(DASHES)]


def heat_maps(results: Results, metrics: tuple[str, ...] = ("mAP", "rank1")) -> Html:
    """Draw what was known of every dataset after every stage, a panel per metric."""
    grid = scores_lib.grid(results)
    height = 0.95 + 0.42 * len(grid.stages)
    with style("heat"):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            _heat_map(axes, grid, metric)
            axes.set_yticks(
                np.arange(len(grid.stages)),
                [scores_lib.stage_title(results, stage) for stage in grid.stages],
            )
        names = " and ".join(METRICS[metric] for metric in metrics)
        return inline(figure, f"{names} of every dataset after every stage")


def score_curves(
    results: Results, epochs: int | None, metrics: tuple[str, ...] = ("mAP", "rank1")
) -> Html:
    """Draw every dataset and the seen average over the stages, a panel per metric."""
    with style("curves"):
        figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            _score_curves(axes, results, metric, epochs)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper")
        return inline(figure, "Scores of every dataset over the stages")


def loss_terms(history: History, titles: Mapping[int, str]) -> Html:
    """Draw the weighted size of every loss term over the run, on one logarithmic scale.

    Args:
        history: of the run.
        titles: stage to what is written above its part.
    """
    terms = history.named(history_lib.TERM)
    bold = history_lib.protecting(history)
    with style("losses"):
        figure = Figure(figsize=(WIDTH, 4.1), layout="constrained")
        axes = figure.subplots()
        for place, (name, series) in enumerate(terms.items()):
            thick = 2.4 if name in bold else 1.2
            _by_stage(axes, history, _positive(series), place, label=name, lw=thick)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("weighted value")
        _stages(axes, history, titles)
        figure.legend(loc="outside right upper")
        return inline(figure, "Weighted loss terms over the steps of the run")


def gradient_shares(history: History, titles: Mapping[int, str]) -> Html:
    """Draw every term's share of the gradient over the run."""
    with style("shares"):
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = figure.subplots()
        # Measured on few of the logged steps: the others would tear the lines apart.
        measured = history.where_logged(history_lib.GRADIENT_SHARE)
        shares = measured.named(history_lib.GRADIENT_SHARE)
        places = {name: i for i, name in enumerate(history.named(history_lib.TERM))}
        bold = history_lib.protecting(history)
        for place, (name, series) in enumerate(shares.items()):
            place = places.get(name, len(places) + place)
            thick = 2.4 if name in bold else 1.2
            points = {"marker": "o", "markersize": 2 * thick, "clip_on": False}
            _by_stage(
                axes, measured, 100 * series, place, label=name, lw=thick, **points
            )
        axes.set_ylabel("percent of all terms' gradients")
        axes.set_ylim(bottom=0)
        _stages(axes, history, titles)
        figure.legend(loc="outside right upper")
        return inline(figure, "Share of each loss term in the gradient")


def training(history: History, titles: Mapping[int, str]) -> Html | None:
    """Draw loss, learning rate, gradient norm and speed; None if none was logged."""
    names = {
        "loss": "loss",
        "lr": "learning rate",
        "grad_norm": "gradient norm",
        "images_per_second": "images per second",
    }
    known = [name for name in names if name in history.values]
    if not known:
        return None
    rows = math.ceil(len(known) / 2)
    with style("training"):
        figure = Figure(figsize=(WIDTH, 2.3 * rows), layout="constrained")
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        for axes in panels[len(known) :]:
            axes.set_visible(False)
        for axes, name in zip(panels, known, strict=False):
            _by_stage(axes, history, history.values[name], 0)
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            _stages(axes, history, titles)
            axes.set_title(names[name], pad=16)
        return inline(figure, "Loss, learning rate, gradient norm and speed")


def _heat_map(axes: Axes, grid: Scores, metric: str) -> None:
    values = grid.values[metric]
    colours = matplotlib.colormaps["viridis"]
    # The whole range, so that two reports can be compared by eye.
    axes.grid(False)
    for (i, j), value in np.ndenumerate(values):
        seen, known = bool(grid.seen[i, j]), not math.isnan(value)
        face = colours(0.1 + 0.9 * value) if seen and known else SHADE
        cell = (j - 0.48, i - 0.46)
        axes.add_patch(Rectangle(cell, 0.96, 0.92, facecolor=face, edgecolor="none"))
        if not seen:
            axes.add_patch(
                Rectangle(
                    cell, 0.96, 0.92, fill=False, hatch="////", edgecolor=LINE, lw=0
                )
            )
        ink = INK if not seen else ("black" if 0.1 + 0.9 * value > 0.55 else "white")
        text = f"{100 * value:.1f}" if known else "–"
        axes.text(
            j, i, text, ha="center", va="center_baseline", color=ink,
            alpha=1 if seen else 0.75, fontweight="bold" if seen else "normal",
        )  # fmt: skip
    axes.set_title(f"{METRICS[metric]} in percent")
    axes.set_xlim(-0.5, len(grid.columns) - 0.5)
    axes.set_ylim(len(grid.stages) - 0.5, -0.5)
    axes.set_xticks(np.arange(len(grid.columns)), grid.columns)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _score_curves(
    axes: Axes, results: Results, metric: str, epochs: int | None
) -> None:
    for place, course in enumerate(scores_lib.courses(results, metric, epochs)):
        line, marks = colour(place), {"markersize": 4, "clip_on": False, "zorder": 3}
        axes.plot(
            course.stage, 100 * course.value, dash(place), color=line, marker="o",
            markerfacecolor="none", lw=1, alpha=0.55, **marks,
        )  # fmt: skip
        known = np.where(course.seen, 100 * course.value, np.nan)
        axes.plot(
            course.stage, known, dash(place), color=line, marker="o", lw=2,
            label=course.name, **marks,
        )  # fmt: skip
    stages = [s for s in scores_lib.grid(results).stages if s != START]
    average = [scores_lib.summary(results, metric, "seen_average", s) for s in stages]
    axes.plot(
        np.array(stages) + 1, 100 * np.array(average), color=INK, lw=2.6, marker="s",
        markersize=5, label="seen average", zorder=4, clip_on=False,
    )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_title(f"{METRICS[metric]} in percent")
    axes.set_xlabel("stages trained")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _by_stage(
    axes: Axes, history: History, series: np.ndarray, place: int, **line: Any
) -> None:
    """Draw a series with a gap between the stages."""
    for stage in history.spans:
        rows = history.stage == stage
        step, value = history_lib.thin(history.step[rows], series[rows])
        axes.plot(step, value, dash(place), color=colour(place), **line)
        line.pop("label", None)


def _stages(axes: Axes, history: History, titles: Mapping[int, str]) -> None:
    """Shade every other stage and write its title above."""
    for place, (stage, (first, last)) in enumerate(history.spans.items()):
        if place % 2:
            axes.axvspan(first, last, facecolor=SHADE, alpha=0.6, zorder=0, lw=0)
        axes.text(
            (first + last) / 2, 1.01, titles.get(stage, f"stage {stage + 1}"),
            transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8,
        )  # fmt: skip
    ends = [end for span in history.spans.values() for end in span]
    if ends and max(ends) > min(ends):
        axes.set_xlim(min(ends), max(ends))
    axes.set_xlabel("step")


def _positive(series: np.ndarray) -> np.ndarray:
    """Leave out what a logarithmic scale cannot show."""
    return np.where(series > history_lib.NEGLIGIBLE, series, np.nan)
