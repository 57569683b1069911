import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ckda_jax.data import transforms
from ckda_jax.data.transforms import ImageDraws, blur, draw, draw_box, transform

NOTHING = ImageDraws(
    flip=False,
    blur=False,
    sigma=1.0,
    brightness=1.0,
    contrast=1.0,
    contrast_first=False,
    box=None,
)


def colours(height=40, width=24) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pipeline", "resized"),
    [
        ("test_pipeline", "lanczos_128x256"),
        ("train_pipeline_noaug", "then_bilinear_128x256"),
        ("vcm_test_pipeline", "direct_bilinear_128x256"),
    ],
)
def test_transform_equals_the_reference_without_augmentation(golden, pipeline, resized):
    values = golden("transforms")
    want = values[pipeline].transpose(1, 2, 0)
    np.testing.assert_allclose(transform(values[resized]), want, rtol=0, atol=5e-7)


def test_draws_that_change_nothing_change_nothing():
    image = colours()
    got = transform(image, NOTHING, infrared=True)
    np.testing.assert_array_equal(got, transform(image))


def test_flip_mirrors_the_width():
    image = colours()
    flipped = dataclasses.replace(NOTHING, flip=True)
    np.testing.assert_array_equal(transform(image, flipped), transform(image)[:, ::-1])


def test_erasing_fills_the_box_after_normalisation():
    image = colours()
    erased = transform(image, dataclasses.replace(NOTHING, box=(3, 5, 20, 7)))
    colour = np.array([0.485, 0.456, 0.406], np.float32)
    assert (erased[3:23, 5:12] == colour).all()
    outside = np.ones((40, 24), bool)
    outside[3:23, 5:12] = False
    np.testing.assert_array_equal(erased[outside], transform(image)[outside])


def test_jitter_keeps_the_order_drawn():
    image = colours()
    draws = dataclasses.replace(NOTHING, brightness=1.3, contrast=0.7)
    picture = Image.fromarray(image)
    bright = ImageEnhance.Brightness(picture).enhance(1.3)
    want = ImageEnhance.Contrast(bright).enhance(0.7)
    np.testing.assert_array_equal(transforms.jitter(image, draws), want)
    swapped = dataclasses.replace(draws, contrast_first=True)
    assert (transforms.jitter(image, swapped) != np.asarray(want)).any()


def test_only_infrared_is_jittered_or_blurred():
    image = colours()
    draws = dataclasses.replace(NOTHING, blur=True, sigma=2.0)
    np.testing.assert_array_equal(transform(image, draws), transform(image))
    assert (transform(image, draws, infrared=True) != transform(image)).any()


def test_blur_of_a_point_is_a_gaussian_and_reflects_at_the_edge():
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    profile = np.exp(-0.5 * np.square(np.arange(-10, 11) / 2.0))
    want = np.round(255 * np.outer(profile, profile) / profile.sum() ** 2)
    np.testing.assert_array_equal(blur(image, 2.0)[10:31, 10:31, 0], want)
    corner = np.zeros((41, 41, 3), np.uint8)
    corner[1, 1] = 255  # mirrored at -1 in both directions
    weight = profile[[9, 11]].sum() / profile.sum()
    assert blur(corner, 2.0)[0, 0, 0] == np.round(255 * weight**2)


def test_blur_of_a_plain_image_is_plain():
    image = np.full((30, 20, 3), 91, np.uint8)
    np.testing.assert_array_equal(blur(image, 3.0), image)


def test_boxes_have_the_areas_and_aspects_of_random_erasing():
    rng = np.random.default_rng(0)
    boxes = [draw_box(rng, (256, 128)) for _ in range(2000)]
    top, left, h, w = np.array([box for box in boxes if box is not None]).T
    assert len(top) == 2000
    assert (top >= 0).all() and (top + h <= 256).all() and (h < 256).all()
    assert (left >= 0).all() and (left + w <= 128).all() and (w < 128).all()
    area = h * w / (256 * 128)
    assert 0.018 < area.min() and area.max() < 0.41
    assert 0.28 < (h / w).min() and (h / w).max() < 3.5


def test_draw_keeps_to_its_ranges_and_probabilities():
    rng = np.random.default_rng(0)
    drawn = [draw(rng, (64, 32), flip=0.25, erasing=0.75) for _ in range(2000)]
    for name, low, high in (
        ("brightness", 0.7, 1.3),
        ("contrast", 0.7, 1.3),
        ("sigma", 0.1, 3.0),
    ):
        values = np.array([getattr(one, name) for one in drawn])
        assert low <= values.min() < low + 0.05 and high - 0.05 < values.max() <= high
    for name, share in (("flip", 0.25), ("blur", 0.5), ("contrast_first", 0.5)):
        assert abs(np.mean([getattr(one, name) for one in drawn]) - share) < 0.05
    assert abs(np.mean([one.box is not None for one in drawn]) - 0.75) < 0.05
