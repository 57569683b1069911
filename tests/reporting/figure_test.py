"""Figures become SVG that belongs to the page."""

import re

from matplotlib.figure import Figure

from ckda_jax.reporting.figure import clean, inline, style
from ckda_jax.reporting.theme import INK, LINE


def draw(name="test"):
    with style(name):
        figure = Figure(figsize=(4, 2))
        axes = figure.subplots()
        axes.plot([0, 1], [0.12345, 2], color=INK, label="a < b")
        axes.set_yticks([0.12345], ["0.12345"])
        axes.legend()
        return inline(figure, "a line")


def test_text_stays_text_with_all_its_digits():
    svg = draw()
    assert "a &lt; b</text>" in svg
    assert ">0.12345</text>" in svg
    assert "DejaVu" not in svg


def test_page_colours_replace_the_stand_ins():
    svg = draw()
    assert INK not in svg and LINE not in svg
    assert "currentColor" in svg and "var(--line)" in svg


def test_nothing_points_outside():
    svg = draw()
    assert "http" not in svg and "xmlns" not in svg and "<metadata" not in svg
    assert svg.startswith('<div role="img" aria-label="a line"')
    assert '<svg viewBox="0 0 288 144">' in svg


def test_ids_are_used_and_differ_between_pictures():
    found = {}
    for name in ("one", "two"):
        svg = draw(name)
        found[name] = set(re.findall(r' id="([^"]*)"', svg))
        used = set(re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", svg))
        assert found[name] == {a or b for a, b in used}
    assert found["one"] and not found["one"] & found["two"]


def test_same_figure_gives_the_same_text():
    assert draw() == draw()


def test_clean_rounds_positions_only():
    svg = '<?xml?><svg width="1pt" viewBox="0 0 1 1"><a d="M 1.23456"/><b>1.23456</b>'
    assert clean(svg) == ('<svg viewBox="0 0 1 1"><a d="M 1.23"/><b>1.23456</b>')
