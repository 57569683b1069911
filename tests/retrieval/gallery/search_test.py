"""The gallery: searched as a whole, and refused where it cannot be trusted."""

import json

import numpy as np
import pytest

from ckda_jax.retrieval.gallery import blocks, open_gallery, search
from ckda_jax.retrieval.gallery import index as index_lib
from ckda_jax.retrieval.gallery import writer as writer_lib
from ckda_jax.retrieval.gallery.index import Maker
from ckda_jax.structs import InputError
from tests import galleries


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A gallery of 12 images in three blocks."""
    monkeypatch.setattr(writer_lib, "FULL", 5)
    galleries.fill(tmp_path, 5, 4, 3)
    return tmp_path


def test_answers_say_what_was_found(folder):
    gallery = open_gallery(folder)
    assert (len(gallery), len(gallery.vectors)) == (12, 3)
    assert list(gallery) == galleries.entries(0, 12)
    assert gallery.entry(9) == galleries.entry(9)
    (answers,) = gallery.search(galleries.vectors(6, 7), top=12)
    first = answers[0]
    assert (first.rank, first.path) == (1, "/images/6.png")
    assert (first.identity, first.camera, first.modality) == ("1", "0", "visible")
    assert first.similarity == pytest.approx(1, abs=1e-6)
    assert [answer.rank for answer in answers] == list(range(1, 13))
    cosines = galleries.vectors(0, 12) @ galleries.vectors(6, 7)[0]
    np.testing.assert_allclose(
        [answer.similarity for answer in answers], np.sort(cosines)[::-1], atol=1e-6
    )
    assert len(gallery.search(galleries.vectors(6, 7))[0]) == 10


def test_a_querys_own_camera_is_left_out(folder):
    gallery = open_gallery(folder)
    assert gallery.knows_cameras
    query = galleries.vectors(0, 3)
    found = gallery.search(query, 12, not_cameras=["0", None, "2"])
    everything = gallery.search(query, 12)
    for place, camera, count in ((0, "0", 8), (1, None, 12), (2, "2", 8)):
        wanted = [a.path for a in everything[place] if a.camera != camera]
        assert [answer.path for answer in found[place]] == wanted
        assert [answer.rank for answer in found[place]] == list(range(1, count + 1))


def test_an_empty_gallery_answers_nothing(tmp_path):
    galleries.writer(tmp_path)
    gallery = open_gallery(tmp_path)
    assert gallery.search(galleries.vectors(0, 2)) == [[], []]
    assert not gallery.knows_cameras
    assert gallery.search(galleries.vectors(0, 0)) == []


def test_bad_questions_are_refused(folder):
    gallery = open_gallery(folder)
    with pytest.raises(InputError, match="choose one of exact, faiss"):
        gallery.search(galleries.vectors(0, 1), backend="annoy")
    with pytest.raises(InputError, match="at least 1"):
        gallery.search(galleries.vectors(0, 1), top=0)
    with pytest.raises(InputError, match="queries of width 4 do not compare"):
        gallery.search(galleries.vectors(0, 1, width=4))
    with pytest.raises(InputError, match="not finite"):
        gallery.search(np.full((1, 6), np.inf, np.float32))


def test_a_gallery_of_another_model_is_refused(folder):
    assert len(open_gallery(folder, model=galleries.MADE_BY)) == 12
    other = Maker(digest="77", workdir="runs/new", stage=3)
    with pytest.raises(InputError) as error:
        open_gallery(folder, model=other)
    assert "embeddings of model 5e1f (stage 2 of runs/site)" in str(error.value)
    assert "embed --workdir runs/new --stage 3 --images" in str(error.value)


def test_damage_is_refused_with_the_command_that_rebuilds(folder):
    block = index_lib.read(folder).blocks[1]
    path = block.path(folder / "blocks", blocks.VECTORS)
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"beef")
    assert len(open_gallery(folder)) == 12
    with pytest.raises(InputError, match="not those that were written; the gallery is"):
        open_gallery(folder, verify=True)
    path.write_bytes(content[:-4])
    with pytest.raises(InputError, match="--workdir runs/site --stage 2 --images"):
        open_gallery(folder)


def test_an_index_that_names_other_rows_is_refused(folder):
    path = folder / index_lib.INDEX
    values = json.loads(path.read_text())
    values["blocks"][0]["rows"] = 4
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="damaged: rebuild"):
        open_gallery(folder)


def test_a_block_replaced_while_it_is_opened_is_no_damage(folder, monkeypatch):
    read, writer = index_lib.read, writer_lib.Writer(folder)
    changes = iter([lambda: writer.remove(lambda entry: entry.identity == "0")])

    def read_and_change(place):
        found = read(place)
        for change in changes:
            monkeypatch.setattr(search.index_lib, "read", read)
            change()
        return found

    monkeypatch.setattr(search.index_lib, "read", read_and_change)
    assert len(open_gallery(folder)) == 9
