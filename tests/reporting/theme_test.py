"""The look holds together."""

import re

from ckda_jax.reporting import theme


def test_every_variable_of_the_page_is_defined():
    used = set(re.findall(r"var\(--(\w+)\)", theme.PAGE_STYLE))
    used |= {v[6:-1] for v in theme.LIVE.values() if v.startswith("var")}
    defined = set(re.findall(r"--(\w+):", theme.PAGE_STYLE))
    assert used <= defined


def test_stand_ins_cannot_be_meant_as_colours():
    assert len(theme.LIVE) == 3
    assert not set(theme.LIVE) & set(theme.COLOURS)


def test_page_style_needs_no_other_file():
    assert "url(" not in theme.PAGE_STYLE and "@import" not in theme.PAGE_STYLE
    assert theme.PAGE_STYLE.count("{") == theme.PAGE_STYLE.count("}")
