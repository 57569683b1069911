from pathlib import Path

import numpy as np
import pytest

from ckda_jax.data.dataset import Dataset
from ckda_jax.data.row import Row, as_records
from ckda_jax.engine.stage import Pace, plan
from ckda_jax.structs import InputError

PACE = Pace(rows=2, epochs=3)


def dataset(name, identities, *, images=2, chain="lanczos"):
    """Make a dataset with as many images of each identity in both modalities."""
    rows = [
        Row(path=f"{identity}_{modality}_{i}.png", identity=identity,
            modality=modality, camera=0)
        for modality in (0, 1)
        for identity in identities
        for i in range(images)
    ]  # fmt: skip
    return Dataset(
        name=name,
        root=Path(name),
        train=as_records(Path(name), rows),
        protocols={},
        resize_train=chain,
        resize_test=chain,
    )


# Labels as datasets write them: not from 0, not in order, shared between datasets.
A, B, C = dataset("a", [7, 3, 5]), dataset("b", [5, 9]), dataset("c", [1, 2, 3, 4])


def single(*datasets, **options):
    return plan([(d,) for d in datasets], PACE, **options)


def test_stages_own_consecutive_slices_of_one_classifier():
    stages = single(A, B, C)
    assert [s.index for s in stages] == [0, 1, 2]
    assert [s.name for s in stages] == ["a", "b", "c"]
    assert [(s.first_row, s.classes) for s in stages] == [(0, 3), (3, 2), (5, 4)]
    assert {s.capacity for s in stages} == {9}
    owned = np.stack([s.info.rows() for s in stages])
    assert owned.sum(axis=0).tolist() == [1] * 9


def test_labels_are_rows_in_the_order_of_the_identities():
    _, stage = single(B, A)
    expected = {3: 2, 5: 3, 7: 4}
    found = dict(zip(stage.records.identity, stage.labels, strict=True))
    assert found == expected
    assert stage.labels.min() == stage.first_row == 2


def test_steps_are_counted_by_epochs_of_the_largest_modality():
    (stage,) = single(A)
    assert (stage.steps_per_epoch, stage.steps) == (6 // 2 + 1, 4 * 3)
    (paced,) = plan([(A,)], Pace(rows=2, epochs=3, steps=5))
    assert (paced.steps_per_epoch, paced.steps) == (5, 15)


def test_learning_at_once_takes_as_many_steps_as_one_after_another():
    pace = Pace(rows=2, epochs=3, steps=5)
    apart = plan([(A,), (B,)], pace)
    (joint,) = plan([(A, B)], pace)
    assert joint.steps == sum(stage.steps for stage in apart) == 30


def test_info_is_what_a_step_may_know():
    info = single(A, B)[1].info
    assert (int(info.index), int(info.first_row), int(info.classes)) == (1, 3, 2)
    assert int(info.steps_per_epoch) == 3
    assert info.replayed.tolist() == [False] * 5 and info.replayed.dtype == bool


def test_an_extended_run_counts_on_with_a_classifier_of_its_own():
    stages = single(B, C, first_index=2)
    assert [s.index for s in stages] == [2, 3]
    assert [s.first_row for s in stages] == [0, 2] and stages[0].capacity == 6


def test_a_joint_stage_keeps_the_identities_of_its_datasets_apart():
    (stage,) = plan([(A, B)], PACE)
    assert stage.name == "a+b" and stage.names == ("a", "b")
    assert stage.classes == 5  # identity 5 of a is not identity 5 of b
    source = np.array([Path(p).parts[0] for p in stage.records.paths])
    assert sorted(set(stage.labels[source == "a"])) == [0, 1, 2]
    assert sorted(set(stage.labels[source == "b"])) == [3, 4]


def test_a_joint_stage_refuses_two_resize_chains():
    with pytest.raises(InputError, match="config.data.resample=direct"):
        plan([(A, dataset("d", [1, 2], chain="vcm"))], PACE)


def test_examples_of_earlier_stages_are_mixed_in_with_their_rows():
    stages = single(A, B, C)
    examples = np.array([[0, 4], [1, 0], [0, 5]], np.int32)
    mixed = stages[2].with_examples(stages, examples)
    n = len(stages[2].records)
    paths = [*stages[0].records.paths[[4, 5]], stages[1].records.paths[0]]
    assert mixed.records.paths[n:].tolist() == paths
    labels = [*stages[0].labels[[4, 5]], stages[1].labels[0]]
    assert mixed.labels[n:].tolist() == labels
    assert set(mixed.replayed) == set(labels)
    rows = np.flatnonzero(mixed.info.rows()).tolist()
    assert rows == sorted([*set(labels), 5, 6, 7, 8])
    # The stage itself is as long and owns the same slice as before.
    assert (mixed.steps, mixed.classes, mixed.first_row) == (stages[2].steps, 4, 5)


def test_no_examples_leave_the_stage_alone():
    stages = single(A, B)
    assert stages[1].with_examples(stages, np.zeros((0, 2), np.int32)) is stages[1]


def test_examples_of_a_run_before_this_one_are_refused():
    stages = single(B, C, first_index=2)
    with pytest.raises(InputError, match=r"examples of stages \[0\] are asked for"):
        stages[1].with_examples(stages, np.array([[0, 1], [2, 0]], np.int32))
