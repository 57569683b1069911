"""The exact search finds what comparing everything at once finds."""

import numpy as np
import pytest

from ckda_jax.retrieval.gallery.exact import Searcher
from tests import galleries


@pytest.fixture
def parts():
    """Three blocks of a gallery of 40, one in half precision."""
    whole = galleries.vectors(0, 40)
    return [whole[:17], whole[17:20].astype(np.float16), whole[20:]]


def slow(query, parts, kept):
    """Sort the rows that are kept by their similarity, earlier ones first."""
    whole = np.concatenate([part.astype(np.float32) for part in parts])
    scores = whole @ query
    order = np.argsort(-scores, kind="stable")
    return [row for row in order.tolist() if kept[row]]


@pytest.mark.parametrize("count", [1, 7, 40, 100])
def test_rows_are_those_of_the_whole_gallery(parts, count):
    query = galleries.vectors(100, 105)
    rows, scores = Searcher(parts)(query, count)
    for place in range(5):
        wanted = slow(query[place], parts, np.ones(40, bool))[:count]
        assert rows[place].tolist() == wanted
        assert np.all(np.diff(scores[place]) <= 0)


def test_rows_that_are_not_kept_are_never_found(parts):
    query, kept = galleries.vectors(100, 103), np.arange(40) % 3 > 0
    kept[17:20] = False
    rows, _ = Searcher(parts)(query, 40, [kept[:17], kept[17:20], kept[20:]])
    for place in range(3):
        assert rows[place].tolist() == slow(query[place], parts, kept)


def test_equally_similar_rows_come_in_gallery_order():
    same = np.ones((2, 1), np.float32)
    rows, scores = Searcher([same, same, same])(same[:1], 5)
    assert rows[0].tolist() == [0, 1, 2, 3, 4]
    assert scores[0].tolist() == [1.0] * 5


def test_an_empty_gallery_has_no_answers():
    rows, scores = Searcher([])(galleries.vectors(0, 2), 3)
    assert [len(line) for line in (*rows, *scores)] == [0, 0, 0, 0]
