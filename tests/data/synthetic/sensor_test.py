import dataclasses

import numpy as np

from ckda_jax.data.synthetic.camera import Camera, shoot
from ckda_jax.data.synthetic.sensor import develop

CAMERA = Camera(infrared=False, scene="room", place="here")
PLAIN = dataclasses.replace(
    shoot(CAMERA, np.random.default_rng(0)),
    gain=1.0,
    slope=(0.0, 0.0),
    blur=0.0,
    noise=0.0,
)
EDGE = np.repeat([[0.2, 0.8]], [16, 16], axis=1).repeat(64, 0)[..., None].repeat(3, 2)
EDGE = EDGE.astype(np.float32)


def test_without_defects_values_are_only_quantised():
    np.testing.assert_array_equal(
        develop(EDGE, PLAIN, CAMERA)[0, [0, -1], 0], [51, 204]
    )


def test_gain_lift_and_gamma():
    bright = develop(EDGE, dataclasses.replace(PLAIN, gain=1.25), CAMERA)
    np.testing.assert_array_equal(bright[0, [0, -1], 0], [64, 255])
    lifted = develop(EDGE, PLAIN, dataclasses.replace(CAMERA, lift=0.5))
    np.testing.assert_array_equal(lifted[0, [0, -1], 0], [153, 230])
    dark = develop(EDGE, PLAIN, dataclasses.replace(CAMERA, gamma=2.0))
    np.testing.assert_array_equal(dark[0, [0, -1], 0], [10, 163])


def test_blur_softens_edges_and_noise_has_its_strength():
    soft = develop(EDGE, dataclasses.replace(PLAIN, blur=2.0), CAMERA)
    assert 51 < soft[32, 16, 0] < 204
    noisy = develop(EDGE, dataclasses.replace(PLAIN, noise=0.05), CAMERA) / 255 - EDGE
    assert 0.04 < noisy.std() < 0.055


def test_vignette_darkens_the_corners_only():
    camera = dataclasses.replace(CAMERA, vignette=0.5)
    picture = develop(np.full((65, 33, 1), 0.8, np.float32), PLAIN, camera)
    assert picture[32, 16, 0] == 204
    assert picture[0, 0, 0] == 102
