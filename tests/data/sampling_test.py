import collections
import dataclasses
from typing import Any

import numpy as np
import pytest

from ckda_jax.data.sampling import PairedSampler, steps_per_epoch
from ckda_jax.structs import InputError


def stage(identities=10, visible=5, infrared=4):
    """Label a stage's images, shuffled; classifier rows start at 20."""
    labels = 20 + np.concatenate(
        [np.repeat(np.arange(identities), n) for n in (visible, infrared)]
    )
    modality = np.repeat([0, 1], [identities * visible, identities * infrared])
    order = np.random.default_rng(1).permutation(len(labels))
    return labels[order], modality[order]


def sampler_of(labels, modality, **changes) -> PairedSampler:
    settings: dict[str, Any] = {"identities": 4, "images": 3, "steps": 50} | changes
    return PairedSampler(labels, modality, **settings)


def test_rows_hold_p_identities_with_k_images_paired_over_modalities():
    labels, modality = stage()
    for rows in sampler_of(labels, modality):
        assert rows.shape == (2, 12)
        np.testing.assert_array_equal(modality[rows], np.repeat([[0], [1]], 12, axis=1))
        np.testing.assert_array_equal(labels[rows[0]], labels[rows[1]])
        groups = labels[rows[0]].reshape(4, 3)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == 4


def test_no_image_repeats_in_a_batch_where_there_are_enough():
    labels, modality = stage(visible=5, infrared=3)
    for rows in sampler_of(labels, modality):
        assert len(set(rows[0])) == len(set(rows[1])) == 12


def test_too_few_images_are_all_taken_before_one_is_taken_again():
    labels, modality = stage(visible=5, infrared=2)
    for rows in sampler_of(labels, modality, images=5):
        for group in rows[1].reshape(4, 5):
            assert sorted(collections.Counter(group).values()) == [2, 3]


def test_a_batch_depends_on_seed_stage_and_index_alone():
    labels, modality = stage()
    sampler = sampler_of(labels, modality, seed=3, stage=1)
    backwards = [sampler[index] for index in reversed(range(50))][::-1]
    np.testing.assert_array_equal(list(sampler), backwards)
    longer = sampler_of(labels, modality, seed=3, stage=1, steps=99)
    np.testing.assert_array_equal(longer[17], sampler[17])
    for changes in ({"seed": 4, "stage": 1}, {"seed": 3, "stage": 2}):
        other = sampler_of(labels, modality, **changes)
        assert (other[0] != sampler[0]).any()


def test_batches_are_distinct():
    # The released code returns its first batch twice.
    labels, modality = stage()
    batches = {rows.tobytes() for rows in sampler_of(labels, modality)}
    assert len(batches) == 50


def test_identities_come_in_shuffles_of_all():
    labels, modality = stage(identities=12)
    sampler = sampler_of(labels, modality)
    for first in range(0, 48, 3):
        drawn = np.concatenate([labels[sampler[first + i][0]] for i in range(3)])
        assert sorted(set(drawn)) == list(range(20, 32))


def test_identities_are_drawn_about_equally_often_when_shuffles_leave_a_rest():
    labels, modality = stage(identities=11)
    sampler = sampler_of(labels, modality, steps=1100)
    drawn = np.concatenate([np.unique(labels[rows[0]]) for rows in sampler])
    counts = np.bincount(drawn - 20)
    assert counts.sum() == 4400
    # 550 shuffles leave out 3 of 11 each: 400 draws, standard deviation 10.4.
    assert np.abs(counts - 400).max() < 45


def test_all_images_are_drawn():
    labels, modality = stage()
    drawn = np.concatenate([rows.ravel() for rows in sampler_of(labels, modality)])
    assert len(np.unique(drawn)) == len(labels)


def test_an_absent_modality_has_no_rows():
    labels, modality = stage(infrared=0)
    sampler = sampler_of(labels, modality)
    np.testing.assert_array_equal(sampler.present, [True, False])
    assert (sampler[0][1] == -1).all()
    assert (sampler[0][0] >= 0).all()


def test_a_third_modality_is_a_longer_axis():
    labels, modality = stage()
    labels, modality = np.tile(labels, 2), np.concatenate([modality, modality * 0 + 2])
    sampler = sampler_of(labels, modality, modalities=("a", "b", "c"))
    rows = sampler[0]
    assert rows.shape == (3, 12)
    np.testing.assert_array_equal(labels[rows[2]], labels[rows[0]])


def test_too_few_identities_are_refused():
    labels, modality = stage(identities=3)
    with pytest.raises(
        InputError, match="3 identities cannot fill batches of 4.*lower"
    ):
        sampler_of(labels, modality)


def test_an_identity_without_images_in_one_modality_is_refused():
    labels, modality = stage()
    keep = ~((labels == 23) & (modality == 1))
    with pytest.raises(InputError, match="identity 23 .* no infrared image"):
        sampler_of(labels[keep], modality[keep])


def test_index_ends_with_the_stage():
    sampler = sampler_of(*stage())
    assert len(sampler) == 50
    with pytest.raises(IndexError, match="batch 50"):
        sampler[50]


def test_repr_tells_the_content_and_holds_no_address():
    labels, modality = stage()
    sampler = sampler_of(labels, modality)
    assert repr(sampler) == repr(dataclasses.replace(sampler, labels=labels.copy()))
    changed = labels.copy()
    changed[[0, 1]] = changed[[1, 0]]
    assert repr(sampler) != repr(sampler_of(changed, modality))


@pytest.mark.parametrize("case", ["color_label", "big_label"])
def test_steps_per_epoch_counts_what_the_reference_delivers(golden, case):
    values = golden("sampler")
    labels = values[case]
    index = values["index1" if case == "color_label" else "big_index1"]
    modality = np.repeat([0, 1], [len(labels), 5])
    assert steps_per_epoch(modality, 32) == len(index) // 32
