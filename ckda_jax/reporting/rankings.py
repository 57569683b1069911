"""Ranked lists in a report: a query and the gallery images nearest to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ckda_jax.reporting import thumbnails
from ckda_jax.reporting.markup import Html, join, tag
from ckda_jax.reporting.rundir import Examples
from ckda_jax.structs import MODALITIES

FIRST = 10
"""Gallery images shown."""


def ranked_lists(
    examples: Examples, *, images: bool, most: int, root: Path = Path()
) -> Html:
    """Show the ranked lists of one dataset.

    Args:
        examples: of the dataset.
        images: False draws identity and camera in place of every image.
        most: queries to show at most.
        root: what image paths that are not absolute start from.
    """
    shown = examples.queries[:most]
    parts = [
        tag("h3", examples.dataset, " ", tag("span", examples.protocol, class_="muted"))
    ]
    for query in shown:
        gallery = query.get("gallery", [])[:FIRST]
        cards = [_card(query["query"], images=images, root=root)]
        for rank, entry in enumerate(gallery, start=1):
            cards.append(_card(entry, images=images, root=root, rank=rank))
        parts.append(tag("div", tag("div", *cards, class_="ranking"), class_="wide"))
    if len(shown) < len(examples.queries):
        note = f"{len(shown)} of {len(examples.queries)} queries are shown."
        parts.append(tag("p", note, class_="muted"))
    return join(parts)


def _card(
    entry: Mapping[str, Any], *, images: bool, root: Path, rank: int | None = None
) -> Html:
    """Draw one image with what is known of it; without a rank it is the query."""
    identity, camera = entry.get("identity", "?"), entry.get("camera")
    camera = "?" if camera is None else camera  # some datasets do not know it
    modality = modality_name(entry.get("modality"))
    source = thumbnails.photo(root / str(entry.get("path", ""))) if images else None
    if source is None:
        inner = tag(
            "div", "identity", tag("b", identity), f"camera {camera}", class_="blank"
        )
    else:
        alt = f"{modality} image, identity {identity}, camera {camera}"
        inner = tag("img", src=source, alt=alt)
    lines = [f"id {identity}, cam {camera}", tag("br")]
    if rank is None:
        kind, mark = "query", Html("")
        lines += [modality]
        title = tag("b", "query")
    else:
        correct = bool(entry.get("correct"))
        kind = "right" if correct else "wrong"
        mark = tag("span", "✓" if correct else "✗", class_="mark")
        lines += [distance(entry.get("distance"))]
        title = tag("b", f"{rank}")
    frame = tag("div", inner, mark, class_="frame")
    return tag(
        "div", title, frame, *lines, class_=f"shot {kind}", title=f"{kind}: {modality}"
    )


def modality_name(modality: Any, names: Sequence[str] = MODALITIES) -> str:
    """Name a modality given by its id or already by name.

    >>> modality_name(1), modality_name("depth"), modality_name(None)
    ('infrared', 'depth', 'unknown modality')
    """
    if isinstance(modality, int):
        known = 0 <= modality < len(names)
        return names[modality] if known else f"modality {modality}"
    return "unknown modality" if modality is None else str(modality)


def distance(value: Any) -> str:
    """Write a distance in three decimals."""
    return "" if value is None else f"distance {float(value):.3f}"
