"""Matplotlib figures as inline SVG that follows the page's light or dark scheme."""

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ckda_jax.reporting.markup import Html, tag
from ckda_jax.reporting.theme import FIGURE_STYLE, LIVE


@contextlib.contextmanager
def style(name: str) -> Iterator[None]:
    """Draw in the report's style; `name` keeps the ids of two pictures apart."""
    settings: Any = {**FIGURE_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        yield


def inline(figure: Figure, label: str) -> Html:
    """Turn a figure, drawn under `style`, into an SVG element.

    Args:
        figure: made without pyplot, so that nothing is left to close.
        label: what the picture shows, for those who do not see it.
    """
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=no_metadata)
    drawing = clean(buffer.getvalue())
    width = figure.get_figwidth() * 96
    return tag(
        "div", Html(drawing), role="img", aria_label=label,
        style=f"max-width: {width:.0f}px",
    )  # fmt: skip


def clean(svg: str) -> str:
    """Strip an SVG file to what a page needs, and make its colours the page's.

    What goes: prolog, metadata, name spaces, size, unused ids, fonts, digits, blanks.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1>", svg, count=1)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    svg = re.sub(
        r' id="([^"]*)"', lambda m: m.group(0) if m.group(1) in used else "", svg
    )
    svg = re.sub(r"(font: [^;\"']*|font-family: )'[^;\"]*", r"\1sans-serif", svg)
    # Two digits of a pixel, but every digit of what is written between the tags.
    svg = re.sub(r"<[^>]*>", lambda m: re.sub(r"(\d\.\d\d)\d+", r"\1", m.group()), svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    for stand_in, live in LIVE.items():
        svg = svg.replace(stand_in, live)
    return svg
