import dataclasses
import math

import numpy as np
import pytest

from ckda_jax.data.synthetic import people
from ckda_jax.data.synthetic.body import polygons
from ckda_jax.data.synthetic.figure import TONES, Pose, label_of

PERSON = people.population(0, [0], domain="x")[0].common
PLAIN = dataclasses.replace(PERSON, hair=0, upper=2, lower=0, bag=0, panel=0, shoes=0)


def areas(common, pose):
    """Sum the shoelace areas of the outlines of each region."""
    totals = dict.fromkeys(people.REGIONS, 0.0)
    for label, points in polygons(common, pose):
        x, y = points.T
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        totals[people.REGIONS[(label - 1) // TONES]] += area
    return totals


@pytest.mark.parametrize("yaw", np.linspace(-math.pi, math.pi, 7))
def test_bodies_have_about_the_stature_and_finite_outlines(yaw):
    for person in people.population(1, range(20), domain="x"):
        common = dataclasses.replace(person.common, bag=0)
        shapes = [points for _, points in polygons(common, Pose(yaw=float(yaw)))]
        points = np.concatenate(shapes)
        assert np.isfinite(points).all()
        assert 0.95 < np.ptp(points[:, 1]) < 1.2
        assert np.ptp(points[:, 0]) < 0.8


def test_the_face_shows_only_from_the_front():
    face = {label_of("face", tone) for tone in range(TONES)}
    shown = [
        bool(face & {label for label, _ in polygons(PLAIN, Pose(yaw=yaw))})
        for yaw in (0.0, math.pi)
    ]
    assert shown == [True, False]


@pytest.mark.parametrize(
    ("field", "name", "region"),
    [
        ("hair", "long", "hair"),
        ("hair", "afro", "hair"),
        ("upper", "coat", "upper"),
        ("lower", "wide", "lower"),
        ("bag", "trolley", "bag"),
        ("bag", "backpack", "bag"),
        ("panel", "band", "panel"),
        ("panel", "sleeves", "panel"),
        ("shoes", "boots", "shoes"),
    ],
)
def test_every_choice_is_seen(field, name, region):
    choice = getattr(people, field.upper()).index(name)
    changed = dataclasses.replace(PLAIN, **{field: choice})
    pose = Pose(yaw=2.5)
    assert areas(changed, pose)[region] > areas(PLAIN, pose)[region] + 1e-3


def test_shorts_bare_the_shins_and_a_tank_top_the_arms():
    pose = Pose(yaw=0.3)
    plain = areas(PLAIN, pose)["skin"]
    for field, name in (("lower", "shorts"), ("upper", "tank"), ("upper", "tee")):
        choice = getattr(people, field.upper()).index(name)
        bared = areas(dataclasses.replace(PLAIN, **{field: choice}), pose)["skin"]
        assert bared > plain + 0.01


def test_legs_swing_with_the_gait():
    def spread(phase):
        shapes = polygons(PLAIN, Pose(yaw=math.pi / 2, phase=phase))
        feet = [
            points[:, 0].mean()
            for label, points in shapes
            if label in {label_of("shoes", tone) for tone in range(TONES)}
        ]
        return np.ptp(feet)

    assert spread(math.pi / 2) > spread(0.0) + 0.1
