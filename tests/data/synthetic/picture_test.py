import dataclasses

import numpy as np
import pytest

from ckda_jax.data.synthetic import people, sites
from ckda_jax.data.synthetic.camera import shoot
from ckda_jax.data.synthetic.picture import OVERSAMPLE, render, silhouette
from ckda_jax.data.synthetic.streams import stream

SIZE = (64, 32)
REGDB = sites.cameras("regdb", 0)
VISIBLE, INFRARED = REGDB[False, 1], REGDB[True, 1]
A, B = people.population(0, [0, 1], domain="x")


def shot_of(camera, number=0):
    free = dataclasses.replace(camera, occlusion=0.0)
    return shoot(free, stream(0, "test", number))


@pytest.mark.parametrize("site", sites.NAMES)
def test_pictures_of_all_cameras(site):
    for (infrared, number), camera in sites.cameras(site, 0).items():
        assert camera.infrared == infrared
        picture = render(A, shot_of(camera, number), camera, seed=0, size=SIZE)
        assert picture.shape == (64, 32, 3)
        assert picture.dtype == np.uint8
        grey = (picture == picture[..., :1]).all()
        assert grey == infrared
        assert picture.std() > 4


def test_the_same_is_drawn_again():
    shot = shot_of(VISIBLE)
    first = render(A, shot, VISIBLE, seed=0, size=SIZE)
    np.testing.assert_array_equal(first, render(A, shot, VISIBLE, seed=0, size=SIZE))
    assert (first != render(A, shot, VISIBLE, seed=1, size=SIZE)).any()


def test_a_modality_shows_the_common_cues_and_its_own():
    """Swap one kind of cue at a time between two people."""
    for camera, shown, hidden in (
        (VISIBLE, "visible", "infrared"),
        (INFRARED, "infrared", "visible"),
    ):
        shot = shot_of(camera)
        original = render(A, shot, camera, seed=0, size=SIZE)
        for kind, changes in ((hidden, False), (shown, True), ("common", True)):
            swapped = dataclasses.replace(A, **{kind: getattr(B, kind)})
            picture = render(swapped, shot, camera, seed=0, size=SIZE)
            assert (picture != original).any() == changes


def test_polarities_are_opposite():
    shot = shot_of(INFRARED)
    inside = silhouette(A, shot, SIZE).resize((32, 64), 0)
    person = (np.asarray(inside) > 0) & (np.asarray(inside) < 28)
    white = render(A, shot, INFRARED, seed=0, size=SIZE)[..., 0]
    inverted = dataclasses.replace(INFRARED, polarity="hot black")
    black = render(A, shot, inverted, seed=0, size=SIZE)[..., 0]
    assert white[person].mean() > white[~person].mean() + 50
    assert black[person].mean() < black[~person].mean() - 50


def test_a_silhouette_stands_where_the_shot_says():
    shot = dataclasses.replace(shot_of(VISIBLE), fill=0.5, centre=0.5, foot=0.9)
    labels = np.asarray(silhouette(A, shot, SIZE))
    assert labels.shape == (64 * OVERSAMPLE, 32 * OVERSAMPLE)
    rows = np.flatnonzero(((labels > 0) & (labels < 28)).any(1)) / labels.shape[0]
    assert rows.min() == pytest.approx(0.4, abs=0.05)
    assert rows.max() == pytest.approx(0.9, abs=0.05)


def test_an_occluder_hides_the_person_in_both_modalities():
    box = (0.0, 0.0, 1.0, 1.0, 0.5)
    for camera in (VISIBLE, INFRARED):
        shot = dataclasses.replace(shot_of(camera), occluder=box)
        a, b = (render(p, shot, camera, seed=0, size=SIZE) for p in (A, B))
        np.testing.assert_array_equal(a, b)
