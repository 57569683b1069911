"""The page of a search: every query and the images found for it, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from ckda_jax.reporting import thumbnails
from ckda_jax.reporting.html import document
from ckda_jax.reporting.markup import Html, tag
from ckda_jax.retrieval.gallery import Gallery

MARKS = {"right": "✓", "wrong": "✗"}
"""Of answers whose identity is known, and the query's as well."""

MOST_QUERIES = 200
"""Queries shown on a page, which holds all its images in itself."""


def page(found: Sequence[Mapping[str, Any]], gallery: Gallery, note: str) -> str:
    """Lay out the whole page.

    Args:
        found: queries with their `answers`, as `ckda_jax.search` prints them.
        gallery: what was searched.
        note: how it was searched.
    """
    name, made = gallery.folder.resolve().name, gallery.index.model
    facts = {
        "gallery": f"{name}, {len(gallery):,} images",
        "model": f"{made.digest[:12]}, stage {made.stage}",
        "queries": f"{len(found):,}",
    }
    items = [
        tag("li", tag("span", key), tag("b", value)) for key, value in facts.items()
    ]
    shown = found[:MOST_QUERIES]
    marks = {_mark(one, answer) for one in shown for answer in one["answers"]}
    text = f"A query and the images most similar to it, best first ({note}). A number "
    text += "is the cosine of the angle between two embeddings: 1 is equal, and there "
    text += "is no value from which on two images surely show one person."
    if marks & set(MARKS):
        text += " Solid green frame with ✓: the query's identity; dashed, orange with "
        text += "✗: another."
    if len(shown) < len(found):
        text += f" The first {len(shown)} of {len(found)} queries are shown."
    rows = [
        tag("div", tag("div", *_cards(one), class_="ranking"), class_="wide")
        for one in shown
    ]
    title = f"Search in {name}"
    return document(
        title,
        tag("header", tag("h1", title), tag("ul", *items, class_="facts")),
        tag("section", tag("p", text, class_="muted"), *rows),
    )


def _cards(one: Mapping[str, Any]) -> list[Html]:
    query = {**one, "path": one["query"]}
    cards = [_card(query, tag("b", "query"), "query")]
    for answer in one["answers"]:
        title = tag("b", f"{answer['rank']}  ·  {answer['similarity']:.3f}")
        cards.append(_card(answer, title, _mark(one, answer)))
    if not one["answers"]:
        cards.append(tag("p", "The gallery has no image for it.", class_="muted"))
    return cards


def _mark(query: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Say whether an answer is right, where both identities are known."""
    if query["identity"] is None or answer["identity"] is None:
        return "found"
    return "right" if query["identity"] == answer["identity"] else "wrong"


def _card(entry: Mapping[str, Any], title: Html, kind: str) -> Html:
    """Draw one image with what is known of it."""
    path = str(entry["path"])
    source = thumbnails.photo(path)
    if source is None:
        inner = tag("div", "no image", class_="blank")
    else:
        inner = tag("img", src=source, alt=f"{entry['modality']} image")
    known = {"id": entry["identity"], "cam": entry["camera"]}
    labels = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    lines = [labels, tag("br"), entry["modality"]] if labels else [entry["modality"]]
    mark = tag("span", MARKS[kind], class_="mark") if kind in MARKS else Html("")
    frame = tag("div", inner, mark, class_="frame")
    return tag("div", title, frame, *lines, class_=f"shot {kind}", title=path)
