import dataclasses

import numpy as np
import pytest
from PIL import Image

from ckda_jax.data import synthetic
from ckda_jax.data.crowd import CrowdSize, shapes, write_crowd
from ckda_jax.structs import VISIBLE, InputError

SIZE = CrowdSize(
    seed=5, identities=3, held_out=2, images=4, cameras=6, height=32, width=16
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return write_crowd(tmp_path_factory.mktemp("crowd") / "crowd", SIZE)


def test_learns_some_people_and_holds_the_others_out(drawn):
    (protocol,) = drawn.protocols.values()
    assert drawn.train.identity.tolist() == sum([[i] * 4 for i in range(3)], [])
    assert protocol.query.identity.tolist() == [3, 4]
    assert protocol.gallery.identity.tolist() == [3, 3, 3, 4, 4, 4]
    assert not set(protocol.query.paths) & set(protocol.gallery.paths)
    for records in (drawn.train, protocol.query, protocol.gallery):
        assert (records.modality == VISIBLE).all()


def test_files_hold_what_is_drawn(drawn):
    group = synthetic.crowd(SIZE.seed, identities=5, cameras=6)
    wanted = synthetic.pretraining_images(
        group, np.full(4, 1), draw=1, size=(SIZE.height, SIZE.width)
    )
    found = [np.asarray(Image.open(path)) for path in drawn.train.paths[4:8]]
    np.testing.assert_array_equal(np.stack(found), wanted)


def test_shapes_are_those_of_the_people_to_learn_in_label_order():
    people = synthetic.population(SIZE.seed, range(3), domain="pretraining")
    expected = np.stack([person.common.vector() for person in people])
    np.testing.assert_array_equal(shapes(SIZE), expected)


def test_is_drawn_once(drawn):
    before = {path: path.stat().st_mtime_ns for path in drawn.root.iterdir()}
    again = write_crowd(drawn.root, SIZE)
    assert {path: path.stat().st_mtime_ns for path in drawn.root.iterdir()} == before
    np.testing.assert_array_equal(again.train.paths, drawn.train.paths)


def test_nothing_half_drawn_is_left_to_be_found(tmp_path):
    class Stop(Exception):
        pass

    def stop(done: int, of: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        write_crowd(tmp_path / "crowd", SIZE, stop)
    assert not (tmp_path / "crowd").exists()
    seen = []
    write_crowd(tmp_path / "crowd", SIZE, lambda done, of: seen.append((done, of)))
    assert seen == [(n, 5) for n in range(1, 6)]


def test_another_crowd_is_refused(drawn):
    with pytest.raises(InputError, match="something other"):
        write_crowd(drawn.root, dataclasses.replace(SIZE, seed=6))


def test_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="something other"):
        write_crowd(tmp_path, SIZE)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot draw a crowd"):
        write_crowd(tmp_path / "file" / "crowd", SIZE)


@pytest.mark.parametrize("name", ["identities", "held_out", "images", "cameras"])
def test_too_small_a_crowd_is_refused(name):
    with pytest.raises(InputError, match=f"crowd.{name} = 0"):
        dataclasses.replace(SIZE, **{name: 0})
