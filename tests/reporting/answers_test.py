"""The page of a search shows every query beside what was found for it."""

import re

import numpy as np
import pytest
from PIL import Image

from ckda_jax.reporting import answers
from ckda_jax.retrieval.gallery import Gallery, open_gallery
from tests import galleries


@pytest.fixture
def gallery(tmp_path) -> Gallery:
    """A gallery of five images."""
    galleries.fill(tmp_path / "people", 5)
    return open_gallery(tmp_path / "people")


def image(path, **facts):
    """Draw an image; say what is known of it."""
    Image.fromarray(np.full((32, 16, 3), 99, np.uint8)).save(path)
    unknown = {"identity": None, "camera": None, "modality": "infrared"}
    return {**unknown, "path": str(path), **facts}


@pytest.fixture
def found(tmp_path):
    """A query with a right answer, a wrong one, and one that nothing is known of."""
    query = image(tmp_path / "q.png", identity="7", camera="<3>")
    some = [
        image(tmp_path / "1.png", identity="7", camera="1", rank=1, similarity=0.91),
        image(tmp_path / "2.png", identity="8", camera="2", rank=2, similarity=0.5),
        image(tmp_path / "3.png", rank=3, similarity=-0.25),
    ]
    return [{**query, "query": query["path"], "answers": some}]


def test_answers_stand_beside_the_query_with_their_similarity(found, gallery):
    page = answers.page(found, gallery, "exact search")
    shots = re.findall(r'class="shot (\w+)"', page)
    assert shots == ["query", "right", "wrong", "found"]
    assert re.findall(r"<b>(\d)  ·  (-?[\d.]+)</b>", page) == [
        ("1", "0.910"), ("2", "0.500"), ("3", "-0.250")
    ]  # fmt: skip
    assert page.count("data:image/jpeg") == 4
    assert page.count("✓") == 2 and page.count("✗") == 2
    assert "id 7, cam &lt;3&gt;" in page
    assert "people, 5 images" in page and "(exact search)" in page
    assert "5e1f, stage 2" in page


def test_without_known_identities_nothing_is_right_or_wrong(found, gallery):
    page = answers.page([{**found[0], "identity": None}], gallery, "")
    assert "✓" not in page and "✗" not in page
    assert re.findall(r'class="shot (\w+)"', page)[1:] == ["found"] * 3


def test_lost_images_and_empty_answers_are_said(found, gallery, tmp_path):
    (tmp_path / "1.png").unlink()
    empty = {**found[0], "answers": []}
    page = answers.page([found[0], empty], gallery, "")
    assert page.count('class="blank"') == 1 and "no image" in page
    assert "The gallery has no image for it." in page


def test_a_page_shows_so_many_queries_and_says_so(found, gallery, monkeypatch):
    monkeypatch.setattr(answers, "MOST_QUERIES", 2)
    page = answers.page(found * 3, gallery, "")
    assert page.count('class="shot query"') == 2
    assert "The first 2 of 3 queries are shown." in page
