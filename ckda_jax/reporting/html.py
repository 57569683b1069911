"""The report of a run: one HTML file that needs nothing but itself."""

import importlib.metadata
import platform
from math import isnan
from pathlib import Path

import ckda_jax
from ckda_jax.files import write_text
from ckda_jax.reporting import history as history_lib
from ckda_jax.reporting import rundir, sections, tables
from ckda_jax.reporting import scores as scores_lib
from ckda_jax.reporting.history import History
from ckda_jax.reporting.markup import Html, join, tag
from ckda_jax.reporting.progress import duration
from ckda_jax.reporting.rundir import RunDirectory
from ckda_jax.reporting.theme import PAGE_STYLE

REPORT_FILE = "report.html"

UNSCORED = tag(
    "p",
    "There is no average: datasets learned earlier were not evaluated after the last "
    "stage. A run that names them in config.eval_only evaluates them.",
    class_="muted",
)


def write_report(workdir: str | Path, *, images: bool = True) -> Path:
    """Write `report.html` into a run directory, from the files that lie in it.

    What is missing there is missing in the report, which says so.

    Args:
        workdir: run directory.
        images: False embeds no pixel of any dataset: identities and cameras instead.

    Returns:
        The file written.

    Raises:
        InputError: no such directory, or a file in it that cannot be read.
    """
    run = rundir.read(workdir)
    path = run.path / REPORT_FILE
    write_text(path, page(run, images=images))
    return path


def page(run: RunDirectory, *, images: bool) -> str:
    """Lay out the whole page of a run."""
    history = history_lib.collect(run.rows)
    parts = {
        "scores": ("Scores", sections.scores(run)),
        "terms": ("Loss terms", sections.terms(run, history)),
        "rankings": ("Ranked lists", sections.rankings(run, images=images)),
        "prompts": ("Prompts", sections.prompts(run, images=images)),
        "training": ("Training", sections.training(run, history)),
        "config": ("Config", sections.config(run)),
    }
    links = [tag("a", title, href=f"#{name}") for name, (title, _) in parts.items()]
    body = [_header(run, history), tag("nav", *links)]
    for name, (title, content) in parts.items():
        body.append(tag("section", tag("h2", title), *content, id=name))
    return document(_title(run), *body)


def document(title: str, *body: Html) -> str:
    """Lay out a page that needs nothing but itself, and say what wrote it."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(PAGE_STYLE)),
    )
    main = tag("main", *body, tag("footer", _made_with()))
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", main), lang="en")


def _header(run: RunDirectory, history: History) -> Html:
    """Say what the run was, and its numbers at the end."""
    facts = {
        "method": run.results.get("method", run.config.get("method", "unknown")),
        "preset": run.results.get("preset"),
        "seed": run.results.get("seed", run.config.get("seed")),
        "stages": " → ".join(map(scores_lib.stage_datasets, sections.stages(run))),
        "steps": max((end for _, end in history.spans.values()), default=None),
        "first to last step": duration(history.seconds) if history.seconds else None,
    }
    items = [
        tag("li", tag("span", name), tag("b", value))
        for name, value in facts.items()
        if value not in (None, "")
    ]
    return tag(
        "header",
        tag("h1", _title(run)),
        tag("ul", *items, class_="facts"),
        _headline(run),
    )


def _headline(run: RunDirectory) -> Html:
    """Show the numbers a run is judged by, after its last stage, as large figures."""
    stages = [stage for stage in scores_lib.grid(run.results).stages if stage >= 0]
    if not stages:
        return Html("")
    last = stages[-1]

    def at_end(metric: str, name: str) -> float:
        return scores_lib.summary(run.results, metric, name, last)

    figures = {
        "seen average mAP": tables.percents([at_end("mAP", "seen_average")]),
        "seen average rank-1": tables.percents([at_end("rank1", "seen_average")]),
        "seen average mINP": tables.percents([at_end("mINP", "seen_average")]),
        "forgetting, mAP": tables.percents([at_end("mAP", "forgetting")]),
        "backward transfer, mAP": tables.signed(at_end("mAP", "backward_transfer")),
        "forward transfer, mAP": tables.signed(at_end("mAP", "forward_transfer")),
    }
    cards = [
        tag("div", tag("b", value), tag("small", name), class_="score")
        for name, value in figures.items()
    ]
    shown = tag("div", *cards, class_="scores")
    averaged = not isnan(at_end("mAP", "seen_average"))
    return shown if averaged else join([shown, UNSCORED])


def _title(run: RunDirectory) -> str:
    return f"{run.path.resolve().name}: lifelong visible-infrared re-identification"


def _made_with() -> str:
    versions = [f"ckda_jax {ckda_jax.__version__}"]
    for name in ("jax", "flax", "numpy"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    versions.append(f"Python {platform.python_version()}")
    return "Written with " + ", ".join(versions) + "."
