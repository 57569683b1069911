"""Prompt maps stand beside their images, or alone."""

import dataclasses

import numpy as np

from ckda_jax.reporting.promptmaps import prompt_maps
from ckda_jax.reporting.rundir import Examples, PromptMaps


def examples(modalities=2, number=3, top=0.5):
    rng = np.random.default_rng(0)
    shape = (modalities, number, 16, 8)
    maps = PromptMaps(
        modality=np.arange(modalities),
        images=rng.integers(0, 255, (*shape, 3)).astype(np.uint8),
        common=np.full(shape, top, np.float32),
        specific=rng.random(shape).astype(np.float32),
    )
    return Examples(dataset="sysu", protocol="", queries=[], prompts=maps)


def test_every_example_has_image_common_and_specific():
    found = prompt_maps(examples(), images=True)
    assert found.count("data:image/jpeg") == 2 * 3
    assert found.count("data:image/png") == 2 * 3 * 2
    for title in ("visible image", "visible-specific", "infrared-specific"):
        assert title in found
    assert "common 0" in found and "0.5" in found


def test_without_images_only_maps_remain():
    found = prompt_maps(examples(), images=False)
    assert "data:image/jpeg" not in found and "visible image" not in found
    assert found.count("data:image/png") == 12


def test_few_examples_are_shown_and_a_third_modality_fits():
    found = prompt_maps(examples(modalities=3, number=9), images=True)
    assert found.count("data:image/jpeg") == 3 * 4
    assert "modality 2-specific" in found
    names = ("visible", "infrared", "thermal")
    found = prompt_maps(examples(modalities=3), names, images=True)
    assert "thermal-specific" in found and "modality 2" not in found


def test_a_modality_that_is_not_shown_shifts_no_name():
    few = examples()
    assert few.prompts is not None
    maps = dataclasses.replace(few.prompts, modality=np.array([0, 2]))
    few = dataclasses.replace(few, prompts=maps)
    found = prompt_maps(few, ("visible", "infrared", "thermal"), images=True)
    assert "visible image" in found and "thermal image" in found
    assert "infrared" not in found


def test_no_maps_no_section():
    bare = Examples(dataset="a", protocol="", queries=[], prompts=None)
    assert prompt_maps(bare, images=True) == ""


def test_maps_without_a_number_are_dark():
    assert "common 0" in prompt_maps(examples(top=float("nan")), images=False)
