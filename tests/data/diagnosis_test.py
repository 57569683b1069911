from pathlib import Path

import numpy as np
import pytest

from ckda_jax.data import diagnosis
from ckda_jax.data.diagnosis import Listing
from ckda_jax.data.inspection import Finding
from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import Survey
from tests.data.layouts import touch

ROWS = {
    "train": [
        Row("a/1.jpg", 1, 0, 1),
        Row("b/1.jpg", 1, 1, 2),
        Row("a/2.jpg", 2, 0, 1),
    ],
    "test": [Row("a/3.jpg", 3, 0, 1), Row("b/3.jpg", 3, 1, 2)],
}


def listing(rows: dict[str, list[Row]] = ROWS, root: Path = Path("/d")) -> Listing:
    """List rows by split."""
    tables = {split: as_records(root, own) for split, own in rows.items()}
    train = next(iter(tables.values()))
    return diagnosis.list_all(root, Survey(splits=tables, train=train, protocols={}))


def test_lists_every_split_in_one_table():
    every = listing({**ROWS, "more": [ROWS["test"][0]]})
    assert every.split.tolist() == ["train"] * 3 + ["test"] * 2 + ["more"]
    assert [every.name(path) for path in every.paths()] == [
        "a/1.jpg",
        "b/1.jpg",
        "a/2.jpg",
        "a/3.jpg",
        "b/3.jpg",
    ]
    assert [(name, len(own)) for name, own in every.splits()] == [
        ("train", 3),
        ("test", 2),
        ("more", 1),
    ]
    assert every.modalities() == [0, 1]


def test_missing_images_are_all_named_with_other_spellings(tmp_path):
    for name in ("a/1.jpg", "a/2.JPG", "b/3.png"):
        touch(tmp_path / name)
    section, there = diagnosis.find_missing(listing(root=tmp_path))
    assert section.problems == [
        "b/1.jpg is missing",
        "a/2.jpg is missing; rename a/2.JPG",
        "a/3.jpg is missing",
        "b/3.jpg is missing; rename b/3.png",
    ]
    assert section.notes == [
        "1 of 5 listed images are there",
        "2 of 2 are missing from b/",
        "2 of 3 are missing from a/",
    ]
    assert [there.name(path) for path in there.paths()] == ["a/1.jpg"]
    assert there.split.tolist() == ["train"]


def test_nothing_missing_is_no_problem(tmp_path):
    for path in listing(root=tmp_path).paths():
        touch(Path(path))
    section, there = diagnosis.find_missing(listing(root=tmp_path))
    assert (section.problems, len(there.records)) == ([], 5)


def test_unusable_images_are_all_named():
    every = listing()
    found = [
        Finding(p, bytes([n]), "x; y" * (n % 2)) for n, p in enumerate(every.paths())
    ]
    section, digests = diagnosis.find_unusable(every, found)
    assert section.problems == ["b/1.jpg: x; y", "a/3.jpg: x; y"]
    assert digests["/d/b/3.jpg"] == b"\4"


@pytest.mark.parametrize(
    ("grey", "problems", "notes"),
    [
        (["b/1.jpg", "b/3.jpg"], [], ["all infrared images are grey"]),
        (["b/3.jpg"], ["b/3.jpg: grey among infrared images"], []),
        (["a/2.jpg"], ["a/2.jpg: grey among visible images"], []),
        (["a/1.jpg", "a/2.jpg", "a/3.jpg"], ["a/1.jpg:", "a/2.jpg:", "a/3.jpg:"], []),
    ],
)
def test_grey_images_are_out_of_place_where_others_have_colour(grey, problems, notes):
    every = listing()
    found = [Finding(p, b"", "", every.name(p) in grey) for p in every.paths()]
    section, _ = diagnosis.find_unusable(every, found)
    for said, expected in zip(
        [*section.problems, *section.notes], [*problems, *notes], strict=True
    ):
        assert said.startswith(expected)


def test_identities_in_one_modality_are_all_named():
    section = diagnosis.find_lonely(listing(), [0, 1])
    assert section.problems == ["train: identity 2 has no infrared image"]
    section = diagnosis.find_lonely(listing({"test": ROWS["train"]}), [0, 1])
    assert section.problems == []
    assert section.notes == ["test: identity 2 has no infrared image"]


def test_a_split_without_a_modality_is_one_problem():
    rows = [Row("a/1.jpg", 1, 0, 1), Row("a/2.jpg", 2, 0, 1)]
    section = diagnosis.find_lonely(listing({"train": rows}), [0, 1])
    assert section.problems == ["train: there is no infrared image at all"]


def test_duplicates_across_splits_and_people_are_named_and_others_counted():
    rows = {
        "train": [Row(f"{n}.jpg", n // 2, 0, 1) for n in range(6)],
        "test": [Row(f"{n}.jpg", n, 0, 1) for n in (6, 7)],
    }
    every = listing(rows)
    content = [b"a", b"a", b"b", b"c", b"b", b"d", b"d", b""]
    digests = dict(zip(every.paths(), content, strict=True))
    section = diagnosis.find_duplicates(every, digests)
    assert section.problems == [
        "the same image in two splits: 5.jpg (train, identity 2), 6.jpg (test,"
        " identity 6)",
        "the same image of two people: 2.jpg (train, identity 1), 4.jpg (train,"
        " identity 2)",
    ]
    assert section.notes[1:] == ["1 images have copies of the same person and split"]


def test_many_copies_are_counted():
    rows = [Row(f"{n}.jpg", n, 0, 1) for n in range(5)]
    every = listing({"train": rows})
    section = diagnosis.find_duplicates(every, dict.fromkeys(every.paths(), b"a"))
    (said,) = section.problems
    assert said.endswith("2.jpg (train, identity 2), and 2 more")


def test_an_image_that_two_splits_list_is_a_duplicate():
    every = listing({split: [ROWS["train"][0]] for split in ROWS})
    (said,) = diagnosis.find_duplicates(every, {"/d/a/1.jpg": b"a"}).problems
    assert said.startswith("the same image in two splits: a/1.jpg (train, ")


def test_identities_in_two_splits_are_all_named():
    shared = [Row("c/1.jpg", 1, 0, 1), Row("c/3.jpg", 3, 1, 1)]
    section = diagnosis.find_known(listing({**ROWS, "val": shared}))
    assert section.problems == [
        "identity 1 is in train and val; take it out of one",
        "identity 3 is in test and val; take it out of one",
    ]


def test_taking_rows_keeps_their_splits():
    assert listing().take(np.array([4, 0])).split.tolist() == ["test", "train"]
