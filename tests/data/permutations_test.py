from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ckda_jax.data.permutations import Permutations
from ckda_jax.data.row import Row, as_records
from ckda_jax.structs import InputError
from tests.data.indexes import real_indexes


def cell(values):
    """Arrange values as MATLAB's cell column."""
    column = np.empty((len(values), 1), object)
    column[:, 0] = values
    return column


def write(file, *, cameras=6, order=((2, 3, 1), (3, 1, 2))):
    """Write a file with three images of person 2 under camera 1, nobody elsewhere."""
    nobody = np.zeros((0, 0), np.uint8)
    people = [cell([nobody, np.array(order, np.uint8)])]
    people += [cell([nobody, nobody]) for _ in range(cameras - 1)]
    savemat(file, {"rand_perm_cam": cell(people)})
    return file


def test_reads_the_order_of_each_trial(tmp_path):
    permutations = Permutations(write(tmp_path / "p.mat"))
    assert permutations.order(1, 2, 0).tolist() == [1, 2, 0]
    assert permutations.order(1, 2, 1).tolist() == [2, 0, 1]
    assert permutations.count(1, 2) == 3
    assert permutations.identities() == 2
    for camera, identity in ((1, 1), (3, 2), (1, 9), (1, 0)):
        assert permutations.count(camera, identity) == 0


def test_refuses_what_is_no_permutation(tmp_path):
    permutations = Permutations(write(tmp_path / "p.mat", order=((2, 2, 1),)))
    with pytest.raises(InputError, match="no permutation of identity 2 under camera 1"):
        permutations.order(1, 2, 0)
    with pytest.raises(InputError, match="in trial 2; restore it"):
        permutations.order(1, 2, 1)


def test_refuses_another_file(tmp_path):
    with pytest.raises(InputError, match="none.mat does not exist; .*galleries=seed"):
        Permutations(tmp_path / "none.mat")
    with pytest.raises(InputError, match="has 5 cameras, not 6"):
        Permutations(write(tmp_path / "five.mat", cameras=5))
    for name, content in (("empty", b""), ("text", b"1,2,3\n"), ("zip", b"PK\3\4")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            Permutations(tmp_path / name)
    savemat(tmp_path / "other.mat", {"rand_perm": np.zeros(3)})
    with pytest.raises(InputError, match="other.mat cannot be read"):
        Permutations(tmp_path / "other.mat")


def test_the_published_file_orders_every_image_once():
    permutations = Permutations(real_indexes("SYSU-MM01") / "exp/rand_perm_cam.mat")
    assert permutations.identities() == 533
    everyone = range(1, 534)
    totals = [sum(permutations.count(c, i) for i in everyone) for c in range(1, 7)]
    assert totals == [6289, 7528, 9812, 8030, 8224, 5980]
    assert len(permutations.order(4, 6, 9)) == permutations.count(4, 6)


def test_names_who_has_more_or_fewer_images(tmp_path):
    permutations = Permutations(write(tmp_path / "p.mat"))
    rows = [Row(str(n), 2, 0, camera) for n, camera in enumerate([1, 1, 1])]
    assert permutations.differences(as_records(Path("/"), rows)) == []
    rows = [rows[0], rows[1], Row("x", 2, 1, 3)]
    assert permutations.differences(as_records(Path("/"), rows)) == [
        "cam1/0002 holds 2 images, but p.mat orders 3",
        "cam3/0002 holds 1 images, but p.mat orders 0",
    ]
