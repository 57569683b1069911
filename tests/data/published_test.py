"""The published counts against each other, and against the real index files."""

import pytest

from ckda_jax.data import catalog
from ckda_jax.data.counts import TRAINED, describe, differences, total
from ckda_jax.data.dataset import Options
from ckda_jax.data.published import PUBLISHED
from ckda_jax.retrieval.protocols import RULES
from tests.data.indexes import real_indexes

FOLDERS = {"regdb": "RegDB", "sysu": "SYSU-MM01", "llcm": "LLCM", "vcm": "HITSZ-VCM"}
ALL = Options(protocols=("all",))
REMOVALS = {name: rule.removal for name, rule in RULES.items()}


def survey(name: str, options: Options = ALL):
    """Survey the real index files of a dataset."""
    root = real_indexes(FOLDERS[name])
    return catalog.survey(name, root, options, index_only=True)


def test_every_dataset_and_protocol_is_published():
    assert list(PUBLISHED) == list(catalog.DATASETS)
    for name, published in PUBLISHED.items():
        assert tuple(published.protocols) == catalog.PROTOCOLS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_real_index_files_have_the_published_counts(name):
    found = describe(survey(name), REMOVALS)
    assert differences(found, PUBLISHED[name]) == []
    assert total(found) == total(PUBLISHED[name])


@pytest.mark.parametrize("trial", range(2, 11))
def test_every_trial_of_regdb_has_the_published_counts(trial):
    found = survey("regdb", Options(trial=trial, protocols=("all",)))
    assert differences(describe(found, REMOVALS), PUBLISHED["regdb"]) == []
    assert set(found.splits["train"].identity).isdisjoint(found.splits["test"].identity)


def test_the_totals_are_those_of_the_papers():
    totals = {name: total(published) for name, published in PUBLISHED.items()}
    assert totals == {"regdb": 8240, "sysu": 44745, "llcm": 46767, "vcm": 463220}
    tracklets = {
        modality: sum(
            PUBLISHED["vcm"].splits[split][modality].tracklets or 0
            for split in ("train", "test")
        )
        for modality in ("visible", "infrared")
    }
    assert tracklets == {"visible": 11785, "infrared": 10078}


def test_what_sysu_trains_on_is_train_and_val():
    splits = PUBLISHED["sysu"].splits
    for modality, counts in splits[TRAINED].items():
        parts = [splits[split][modality] for split in ("train", "val")]
        assert counts.images == sum(part.images or 0 for part in parts)
        assert counts.identities == sum(part.identities or 0 for part in parts)


@pytest.mark.parametrize(
    ("name", "protocol", "modality", "cameras", "shots"),
    [
        ("sysu", "all-single", "visible", (1, 2, 4, 5), 1),
        ("sysu", "all-multi", "visible", (1, 2, 4, 5), 10),
        ("sysu", "indoor-single", "visible", (1, 2), 1),
        ("sysu", "indoor-multi", "visible", (1, 2), 10),
        ("llcm", "infrared-to-visible", "visible", range(1, 10), 1),
        ("llcm", "visible-to-infrared", "infrared", (1, 2, 4, 5, 6, 7, 8, 9), 1),
    ],
)
def test_drawn_galleries_have_every_pair_of_identity_and_camera(
    name, protocol, modality, cameras, shots
):
    filmed = PUBLISHED[name].splits["test"][modality].cameras
    pairs = sum(filmed[camera].identities or 0 for camera in cameras)
    assert PUBLISHED[name].protocols[protocol].gallery == shots * pairs
