import numpy as np

from ckda_jax.data.synthetic.scene import KINDS
from ckda_jax.data.synthetic.sites import NAMES, cameras, stray_cameras


def test_sites_have_the_cameras_of_the_real_datasets():
    numbers = {
        site: [
            [n for infrared, n in cameras(site, 0) if infrared == wanted]
            for wanted in (False, True)
        ]
        for site in NAMES
    }
    assert numbers == {
        "regdb": [[1], [1]],
        "sysu": [[1, 2, 4, 5], [3, 6]],
        "llcm": [list(range(1, 10)), [1, 2, 4, 5, 6, 7, 8, 9]],
        "vcm": [list(range(1, 13)), list(range(1, 13))],
    }


def test_sysu_cameras_2_and_3_look_at_one_place():
    table = cameras("sysu", 0)
    places = {number: camera.place for (_, number), camera in table.items()}
    assert places[2] == places[3]
    assert len(set(places.values())) == 5


def test_cameras_differ_moderately_inside_a_site():
    gains = [np.mean(c.gain) for (ir, _), c in cameras("vcm", 0).items() if not ir]
    assert len(set(gains)) == 12
    assert max(gains) / min(gains) < 1.2
    assert cameras("vcm", 0) == cameras("vcm", 0)
    assert cameras("vcm", 0) != cameras("vcm", 1)


def test_stray_cameras_are_visible_varied_and_nobody_elses():
    group = stray_cameras(0, 40)
    taken = {c.place for site in NAMES for c in cameras(site, 0).values()}
    places = {camera.place for camera in group}
    assert len(places) == 40
    assert not places & taken
    assert not any(camera.infrared for camera in group)
    assert {camera.scene for camera in group} == set(KINDS)
