import dataclasses

import numpy as np
import pytest

from ckda_jax.data.synthetic import people
from ckda_jax.data.synthetic.people import population


def same(a, b):
    left, right = dataclasses.asdict(a), dataclasses.asdict(b)
    return all(
        np.array_equal(value, right[kind][name])
        for kind, cues in left.items()
        for name, value in cues.items()
    )


def test_a_person_does_not_depend_on_who_else_is_asked_for():
    alone = population(1, [5], domain="regdb")[0]
    crowd = population(1, range(9), domain="regdb")
    assert same(alone, crowd[5])
    assert not any(same(alone, other) for other in crowd[:5])


def test_domains_and_seeds_share_nobody():
    here = population(1, range(6), domain="regdb")
    for elsewhere in (
        population(1, range(6), domain="pretraining"),
        population(2, range(6), domain="regdb"),
    ):
        assert not any(same(a, b) for a in here for b in elsewhere)


def test_common_cues_tell_everybody_apart():
    # an oracle that measures the shape in either modality with some error
    shapes = np.stack([p.common.vector() for p in population(0, range(72), domain="x")])
    rng = np.random.default_rng(0)
    seen = shapes + rng.normal(0, 0.1, shapes.shape)
    again = shapes + rng.normal(0, 0.1, shapes.shape)
    nearest = np.linalg.norm(seen[:, None] - again[None], axis=-1).argmin(1)
    np.testing.assert_array_equal(nearest, np.arange(72))


def test_vector_is_scaled_and_has_one_choice_per_table():
    vector = population(0, [0], domain="x")[0].common.vector()
    assert vector.min() >= 0
    assert vector.max() <= 1
    tables = (people.HAIR, people.UPPER, people.LOWER, people.BAG)
    choices = sum(map(len, (*tables, people.PANEL, people.SHOES)))
    assert vector[-choices:].sum() == 6


def test_choices_are_the_sizes_of_the_tables_in_order():
    person = population(0, [3], domain="x")[0].common
    blocks = np.split(person.vector(), np.cumsum([9, *people.CHOICES])[:-1])[1:]
    names = ("hair", "upper", "lower", "bag", "panel", "shoes")
    assert [int(b.argmax()) for b in blocks] == [getattr(person, n) for n in names]
    assert [b.sum() for b in blocks] == [1] * 6


def test_redressing_changes_colours_and_nothing_else():
    person = population(0, [3], domain="x")[0]
    other = people.redressed(person, np.random.default_rng(0))
    assert other.common == person.common and other.infrared is person.infrared
    assert not np.allclose(other.visible.colours, person.visible.colours)


def test_colour_tells_nothing_about_heat():
    group = population(0, range(600), domain="x")
    bright = np.stack([p.visible.colours.mean(1) for p in group])
    warm = np.stack([p.infrared.heat for p in group])
    regions = [
        people.REGIONS.index(name) for name in ("upper", "panel", "lower", "bag")
    ]
    for region in regions:
        correlation = np.corrcoef(bright[:, region], warm[:, region])[0, 1]
        assert abs(correlation) < 0.12  # 3 standard errors


@pytest.mark.parametrize("kind", ["visible", "infrared"])
def test_a_panel_stands_out_from_its_garment_in_both_modalities(kind):
    upper, panel = (people.REGIONS.index(name) for name in ("upper", "panel"))
    for person in population(0, range(50), domain="x"):
        look = person.visible.colours if kind == "visible" else person.infrared.heat
        assert np.abs(look[upper] - look[panel]).mean() > 0.15
