"""HTML that cannot be broken by what it shows: every text is escaped once."""

import html
from collections.abc import Iterable
from typing import Any

VOID = frozenset({"br", "img", "meta"})
"""Elements without content and end."""


class Html(str):
    """Text that is HTML already and is not escaped again."""


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """Make an element of children and attributes.

    Args:
        name: of the element.
        *children: `Html` is kept as it is, anything else is escaped.
        **attributes: `class_` stands for `class`, `aria_label` for `aria-label`; those
            that are None are left out.

    >>> tag("td", "a < b", class_="x")
    '<td class="x">a &lt; b</td>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    start = f"<{name}{written}>"
    if name in VOID:
        return Html(start)
    return Html(f"{start}{join(children)}</{name}>")


def join(children: Iterable[Any]) -> Html:
    """Put pieces next to each other, escaping those that are not `Html`."""
    return Html("".join(map(text, children)))


def text(value: Any) -> Html:
    """Escape a value unless it is `Html`."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))
