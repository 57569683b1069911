"""Prompt heat maps in a report: where and how strongly prompts change the input."""

from collections.abc import Sequence

import numpy as np

from ckda_jax.reporting import thumbnails
from ckda_jax.reporting.markup import Html, tag
from ckda_jax.reporting.rankings import modality_name
from ckda_jax.reporting.rundir import Examples, PromptMaps
from ckda_jax.structs import MODALITIES

MOST = 4
"""Examples shown of a dataset."""


def prompt_maps(
    examples: Examples, modalities: Sequence[str] = MODALITIES, *, images: bool
) -> Html:
    """Show the prompts of one dataset, a table per modality with a row per example.

    Args:
        examples: of the dataset, with prompts.
        modalities: names of the run's modalities.
        images: False leaves the images out and shows the maps alone.
    """
    maps = examples.prompts
    if maps is None:
        return Html("")
    tops = {"common": _top(maps.common), "specific": _top(maps.specific)}
    tables = [
        _modality_table(maps, row, modality_name(modality, modalities), tops, images)
        for row, modality in enumerate(maps.modality.tolist())
    ]
    scales = []
    for name, top in tops.items():
        bar = tag("span", class_="scale", style=f"background: {thumbnails.gradient()}")
        scales.append(tag("span", f"{name} 0", bar, f"{top:.2g}", class_="key"))
    return tag(
        "div",
        tag("h3", examples.dataset),
        tag("div", *tables, class_="prompts"),
        tag("p", *scales, class_="muted"),
    )


def _modality_table(
    maps: PromptMaps, row: int, name: str, tops: dict[str, float], images: bool
) -> Html:
    header = [f"{name} image"] if images else []
    header += ["common prompt", f"{name}-specific prompt"]
    rows = []
    for example in range(min(MOST, maps.common.shape[1])):
        cells = []
        if images:
            source = thumbnails.picture(maps.images[row, example])
            cells.append(tag("img", src=source, alt=f"{name} image"))
        for kind, values in (("common", maps.common), ("specific", maps.specific)):
            source = thumbnails.heat_map(values[row, example], tops[kind])
            cells.append(tag("img", src=source, alt=f"size of the {kind} prompt"))
        rows.append(tag("tr", *(tag("td", cell) for cell in cells)))
    head = tag("thead", tag("tr", *(tag("th", title) for title in header)))
    return tag("table", head, tag("tbody", *rows), class_="maps")


def _top(values: np.ndarray) -> float:
    """The value drawn brightest, one for all maps of a kind; outliers are capped."""
    known = values[np.isfinite(values)]
    return float(np.percentile(known, 99.5)) if known.size else 0.0
