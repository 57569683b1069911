import dataclasses

import pytest

from ckda_jax.data.synthetic.layout import SIZES, Layout, Picture
from ckda_jax.structs import InputError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("identities", 3),
        ("test_identities", 1),
        ("images", 1),
        ("shots", 0),
        ("height", 8),
        ("identities", 2000),
    ],
)
def test_sizes_that_make_no_world_are_refused_by_name(field, value):
    with pytest.raises(InputError, match=f"{value}.*give at (least|most)"):
        dataclasses.replace(SIZES["small"], **{field: value})


def test_the_default_size_has_enough_test_people_for_rank_20():
    assert SIZES["medium"].test_identities > 20 > SIZES["small"].test_identities


def test_a_layout_copies_nothing_by_default():
    picture = Picture(path="a.jpg", person=0, camera=(False, 1), shot=0)
    plan = Layout(folder="F", pictures=[picture], texts={})
    assert (plan.copies, plan.shrink, picture.frame) == ({}, 1.0, 0)
