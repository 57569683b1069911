import dataclasses
import math

import numpy as np
import pytest

from ckda_jax.data.synthetic.camera import YAW, Camera, follow, shoot

CAMERA = Camera(infrared=False, scene="room", place="here", occlusion=0.5)


@pytest.mark.parametrize("yaw", YAW)
def test_shots_keep_to_the_camera(yaw):
    camera = dataclasses.replace(CAMERA, yaw=yaw)
    rng = np.random.default_rng(0)
    shots = [shoot(camera, rng) for _ in range(300)]
    for shot in shots:
        turns = [abs(math.remainder(shot.pose.yaw - c, math.tau)) for c, _ in YAW[yaw]]
        assert any(t <= s for t, (_, s) in zip(turns, YAW[yaw], strict=True))
        assert camera.fill[0] <= shot.fill <= camera.fill[1]
        assert camera.quality[0] <= shot.quality <= camera.quality[1]
        assert camera.gain[0] <= shot.gain <= camera.gain[1]
    occluded = np.mean([shot.occluder is not None for shot in shots])
    assert 0.4 < occluded < 0.6


def test_a_given_view_is_kept():
    camera = dataclasses.replace(CAMERA, yaw="facing")
    rng = np.random.default_rng(0)
    for view, sign in ((0, 1), (1, -1)):
        cosines = [math.cos(shoot(camera, rng, view=view).pose.yaw) for _ in range(50)]
        assert all(sign * cosine > 0.8 for cosine in cosines)


def test_following_frames_show_the_same_passage():
    first = shoot(CAMERA, np.random.default_rng(0))
    later = follow(first, np.random.default_rng(1), 3)
    assert later.pose.phase == pytest.approx(first.pose.phase + 1.35)
    assert (later.pose.yaw, later.fill, later.gain, later.occluder) == (
        first.pose.yaw,
        first.fill,
        first.gain,
        first.occluder,
    )
    assert later.offsets != first.offsets
