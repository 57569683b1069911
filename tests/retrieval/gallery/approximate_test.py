"""The approximate search finds nearly what the exact one does."""

import sys

import numpy as np
import pytest

from ckda_jax.retrieval.gallery import approximate, exact
from ckda_jax.structs import InputError
from tests import galleries


@pytest.fixture
def parts():
    """A gallery of 300 in two blocks."""
    whole = galleries.vectors(0, 300)
    return [whole[:200].astype(np.float16), whole[200:]]


def test_without_faiss_the_extra_is_named(parts, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"pip install 'ckda_jax\[faiss\]'"):
        approximate.Searcher(parts)


def test_answers_are_nearly_the_exact_ones(parts):
    pytest.importorskip("faiss")
    query = galleries.vectors(1000, 1020)
    kept = [np.arange(200) % 2 > 0, np.arange(100) % 2 > 0]
    for marks in (None, kept):
        near, scores = approximate.Searcher(parts)(query, 10, marks)
        best, wanted = exact.Searcher(parts)(query, 10, marks)
        shared = [len({*a} & {*b}) for a, b in zip(near, best, strict=True)]
        assert np.mean(shared) > 9
        np.testing.assert_allclose(scores[0][0], wanted[0][0], atol=1e-5)
    nothing = [np.zeros(200, bool), np.zeros(100, bool)]
    rows, _ = approximate.Searcher(parts)(query, 10, nothing)
    assert [len(line) for line in rows] == [0] * 20


def test_an_empty_gallery_and_bad_questions(parts):
    pytest.importorskip("faiss")
    rows, _ = approximate.Searcher([])(galleries.vectors(0, 2), 3)
    assert [len(line) for line in rows] == [0, 0]
    with pytest.raises(InputError, match="not finite"):
        approximate.Searcher(parts)(np.full((1, 6), np.inf, np.float32), 3)
    with pytest.raises(InputError, match="at least 1"):
        approximate.Searcher(parts)(galleries.vectors(0, 2), 0)
