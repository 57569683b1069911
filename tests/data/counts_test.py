from pathlib import Path

import numpy as np
import pytest

from ckda_jax.data.counts import (
    TRAINED,
    Camera,
    Counts,
    Description,
    Size,
    count,
    describe,
    differences,
    measure,
    total,
)
from ckda_jax.data.dataset import Names
from ckda_jax.data.protocol import Protocol, Trial
from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import Survey
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.structs import Records


def table(rows: list[tuple[int, ...]]) -> Records:
    """Make a table of (identity, modality, camera) or with a tracklet behind."""
    return as_records(Path("/"), [Row(str(n), *row) for n, row in enumerate(rows)])


def test_counts_by_modality_and_camera():
    records = table([(1, 0, 1), (1, 0, 1), (2, 0, 1), (2, 0, 4), (1, 1, 3)])
    assert count(records) == {
        "visible": Counts(2, 4, {1: Camera(2, 3, 0), 4: Camera(1, 1, 0)}),
        "infrared": Counts(1, 1, {3: Camera(1, 1, 0)}),
    }


def test_counts_tracklets_and_those_of_twelve_frames():
    frames = [(7, 0, 2, 1)] * 12 + [(7, 0, 2, 2)] * 11 + [(8, 0, 5, 1)] * 13
    counts = count(table(frames))["visible"]
    assert (counts.tracklets, counts.long_tracklets) == (3, 2)
    assert counts.cameras == {2: Camera(1, 23, 2), 5: Camera(1, 13, 1)}


def test_modalities_are_counted_by_name():
    names = Names(modalities=("visible", "near", "far"))
    assert list(count(table([(1, 0, 1), (1, 2, 1)]), names)) == ["visible", "far"]


@pytest.mark.parametrize("rule", RULES)
def test_valid_and_affected_queries_are_those_of_a_plain_loop(rule):
    rng = np.random.default_rng(0)
    query, gallery = (
        table([(i, m, c) for i, c in rng.integers(1, 5, (n, 2)).tolist()])
        for m, n in ((1, 40), (0, 6))
    )
    trials = (
        Trial(np.arange(40), np.arange(4)),
        Trial(np.arange(40)[::-1], np.arange(2, 6)),
    )
    valid, affected = [], []
    for trial in trials:
        good = touched = 0
        for q in trial.query:
            kept = removed = 0
            for g in trial.gallery:
                gone = RULES[rule].removal(
                    query.identity[[q]],
                    query.camera[[q]],
                    gallery.identity[[g]],
                    gallery.camera[[g]],
                )[0, 0]
                removed += gone
                kept += not gone and query.identity[q] == gallery.identity[g]
            good += kept > 0
            touched += removed > 0
        valid.append(good)
        affected.append(touched)
    protocol = Protocol(
        name="p", query=query, gallery=gallery, rule=rule, trials=trials
    )
    size = measure(protocol, RULES[rule].removal)
    assert size == Size(40, 4, 2, min(valid), max(affected))
    assert min(valid) < max(valid)


def test_pooled_tracklets_are_the_items_of_a_search():
    protocol = Protocol(
        name="p",
        query=table([(1, 1, 1, 1)] * 3 + [(2, 1, 1, 2)] * 3),
        gallery=table([(1, 0, 2, 1)] * 3),
        rule="standard",
        pooled=True,
    )
    assert measure(protocol, RULES["standard"].removal) == Size(2, 1, 1, 1, 0)


def test_what_is_trained_on_is_told_where_it_is_not_the_training_split():
    whole = table([(1, 0, 1, 1)] * 14)
    same = Survey(splits={"train": whole}, train=whole, protocols={})
    assert list(describe(same, {}).splits) == ["train"]
    drawn = Survey(
        splits={"train": whole}, train=whole.take(np.arange(3)), protocols={}
    )
    trained = describe(drawn, {}).splits[TRAINED]["visible"]
    assert (trained.images, trained.tracklets, trained.long_tracklets) == (3, 1, None)


def description(images: int, *cameras: int, **splits) -> Description:
    """Describe one training split."""
    filmed = {camera: Camera(images=images) for camera in cameras}
    one = {"train": {"visible": Counts(3, images, filmed)}, **splits}
    return Description(splits=one, protocols={})


def test_differences_name_the_place_in_order():
    assert differences(description(5, 1, 2), description(5, 1, 2)) == []
    assert differences(description(5, 1, 2), description(1000, 1, 3)) == [
        "train, visible: 5 images, published 1,000",
        "train, visible, camera 1: 5 images, published 1,000",
        "train, visible, camera 3: 0 images, published 1,000",
        "train, visible, camera 2: 5 images, published 0",
    ]
    assert differences(description(5, 1), description(5)) == []


def test_an_absent_split_differs_unless_nothing_else_is_trained_on():
    more = {"visible": Counts(1, 2, {})}
    found = description(5)
    assert differences(found, description(5, **{TRAINED: more})) == []
    assert differences(found, description(5, test=more)) == [
        "test, visible: 0 identities, published 1",
        "test, visible: 0 images, published 2",
    ]


def test_the_total_counts_each_image_once():
    more = {"visible": Counts(1, 2, {})}
    assert total(description(5, **{TRAINED: more, "test": more})) == 7
