"""What is shown cannot break the page."""

from ckda_jax.reporting.markup import Html, join, tag


def test_children_are_escaped_once():
    inner = tag("b", "<script>&")
    assert inner == "<b>&lt;script&gt;&amp;</b>"
    assert tag("p", inner, 3) == "<p><b>&lt;script&gt;&amp;</b>3</p>"


def test_attributes_are_escaped_and_renamed():
    found = tag("img", src='a"b', class_="x", aria_label="y", alt=None)
    assert found == '<img src="a&quot;b" class="x" aria-label="y">'


def test_an_attribute_may_be_called_name():
    assert tag("meta", name="viewport") == '<meta name="viewport">'


def test_join_keeps_html():
    assert join(["<", Html("<br>")]) == "&lt;<br>"
    assert isinstance(join([]), Html)
