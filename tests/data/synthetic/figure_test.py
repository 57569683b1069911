import math

import numpy as np

from ckda_jax.data.synthetic import people
from ckda_jax.data.synthetic.figure import LEG, TONES, TRUNK, Figure, Pose, label_of


def test_labels_are_distinct_and_leave_zero():
    labels = [label_of(r, tone) for r in people.REGIONS for tone in range(TONES)]
    assert sorted(labels) == list(range(1, 1 + len(people.REGIONS) * TONES))


def test_an_upright_limb_is_a_capsule():
    figure = Figure(Pose(yaw=0.0))
    figure.limb("skin", TRUNK, ((0.0, 0.2, 0.0), (0.0, 0.8, 0.0)), 0.1, 0.05)
    (label, outer), (inner_label, inner) = figure.outlines()
    assert (label, inner_label) == (label_of("skin", 1), label_of("skin", 2))
    np.testing.assert_allclose(outer.min(0), [-0.1, 0.1], atol=1e-12)
    np.testing.assert_allclose(outer.max(0), [0.1, 0.85], atol=1e-12)
    assert np.ptp(inner, axis=0)[0] < np.ptp(outer, axis=0)[0]


def test_turning_the_body_swaps_width_and_depth_and_the_order():
    ends = ((0.2, 0.5, 0.1), (0.2, 0.5, 0.1))
    for yaw, across in ((0.0, 0.2), (math.pi / 2, 0.1), (math.pi, -0.2)):
        figure = Figure(Pose(yaw=yaw))
        figure.limb("skin", LEG, ends, 0.01)
        _, outline = figure.outlines()[0]
        np.testing.assert_allclose(outline.mean(0), [across, 0.5], atol=1e-9)
    assert Figure(Pose(yaw=0.0)).nearness(0.0, 1.0) == 1.0
    assert Figure(Pose(yaw=math.pi)).nearness(0.0, 1.0) == -1.0


def test_a_trunk_is_as_wide_as_its_section_seen_from_the_side_it_shows():
    rows = [(0.8, 0.0, 0.1, 0.04), (0.5, 0.0, 0.1, 0.04)]
    for yaw, half in ((0.0, 0.1), (math.pi / 2, 0.04)):
        figure = Figure(Pose(yaw=yaw))
        figure.trunk("upper", TRUNK, rows)
        figure.limb("skin", LEG, ((0.0, 0.1, 0.0), (0.0, 0.1, 0.0)), 0.01)
        outline = dict(figure.outlines())[label_of("upper", 1)]
        np.testing.assert_allclose(np.ptp(outline, axis=0), [2 * half, 0.3], atol=1e-12)


def test_nearer_limbs_are_drawn_later_and_lighter():
    figure = Figure(Pose(yaw=math.pi / 2))
    for x in (-0.1, 0.1):  # seen from the person's right, the left leg is the far one
        figure.limb("lower", LEG, ((x, 0.5, 0.0), (x, 0.0, 0.0)), 0.05)
    labels = [label for label, _ in figure.outlines()]
    dark, middle, light = (label_of("lower", tone) for tone in range(3))
    assert labels == [dark, middle, middle, light]
