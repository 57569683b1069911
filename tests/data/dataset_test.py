import dataclasses
from pathlib import Path

import pytest

from ckda_jax.data.dataset import (
    PUBLISHED,
    Dataset,
    Names,
    keep_identities,
    require_answers,
    require_pairs,
    require_strangers,
)
from ckda_jax.data.protocol import Protocol
from ckda_jax.data.row import Row, as_records
from ckda_jax.structs import INFRARED, VISIBLE, InputError, concatenate_records

ROOT = Path("/root")


def table(identities, modality=VISIBLE):
    rows = [Row(f"{n}.jpg", i, modality, 1) for n, i in enumerate(identities)]
    return as_records(ROOT, rows)


def dataset(query, gallery):
    protocol = Protocol(
        name="search", query=table(query), gallery=table(gallery), rule="standard"
    )
    return Dataset(
        name="toy",
        root=ROOT,
        train=table([1]),
        protocols={"search": protocol},
        resize_train="lanczos",
        resize_test="lanczos",
    )


def test_require_pairs_names_identities_with_one_modality():
    visible, infrared = table([1, 1, 2, 3]), table([1, 2, 3], INFRARED)
    require_pairs("Toy", concatenate_records([visible, infrared]))
    more = table([1, 2, 3, 9, 8, 7, 6, 9], INFRARED)
    with pytest.raises(InputError, match="no visible .* identity 6, 7, 8 and 1 more;"):
        require_pairs("Toy", concatenate_records([visible, more]))
    with pytest.raises(InputError, match="no infrared .* identity 1, 2, 3;"):
        require_pairs("Toy", visible)
    with pytest.raises(InputError, match="Toy has no training images"):
        require_pairs("Toy", table([]))


def test_require_pairs_asks_for_the_given_modalities_by_name():
    names = Names(identities=("ann", "bob", "cem"), modalities=("day", "night", "heat"))
    day, heat = table([0, 1, 2], 0), table([0, 2], 2)
    train = concatenate_records([day, heat])
    with pytest.raises(InputError, match="Toy: no heat training images .* bob; every"):
        require_pairs("Toy", train, names, (0, 2))
    require_pairs("Toy", day, names, (0,))


def test_numbers_are_names_unless_there_are_names():
    assert (PUBLISHED.identity(7), PUBLISHED.camera(3), PUBLISHED.camera(-1)) == (
        *(7, 3),
        None,
    )
    named = Names(identities=("ann",), cameras=("a", "b"), modalities=("x", "y", "z"))
    assert (named.identity(0), named.camera(1), named.modality(2)) == ("ann", "b", "z")


def test_keep_identities_goes_by_label_order():
    train = table([5, 3, 5, 9, 3])
    assert keep_identities(train, 0) is train
    assert keep_identities(train, 2).identity.tolist() == [5, 3, 5, 3]
    order = {9: 0, 5: 1, 3: 2}
    assert keep_identities(train, 1, order).identity.tolist() == [9]
    assert keep_identities(train, 2, order).paths.tolist() == [
        "/root/0.jpg",
        "/root/2.jpg",
        "/root/3.jpg",
    ]
    assert len(keep_identities(train, 99, order)) == 5


def test_require_answers_needs_an_identity_in_query_and_gallery():
    require_answers(dataset([1, 2], [2, 3]))
    with pytest.raises(InputError, match="toy, protocol search: the query is empty"):
        require_answers(dataset([], [2]))
    with pytest.raises(InputError, match="the gallery is empty in /root"):
        require_answers(dataset([1], []))
    with pytest.raises(InputError, match="no identity is in both query and gallery"):
        require_answers(dataset([1, 2], [3, 4]))


def test_require_strangers_tells_people_of_the_training_images():
    require_strangers(dataset([2, 3], [3, 4]))
    with pytest.raises(InputError, match="protocol search: the query shows .* 1 of"):
        require_strangers(dataset([3, 1], [3]))
    with pytest.raises(InputError, match="the gallery shows identity 1 of"):
        require_strangers(dataset([3], [1, 3]))


def test_require_strangers_names_people_as_their_dataset_does():
    names = Names(identities=("ann", "bob"))
    known = dataclasses.replace(dataset([1, 0], [0]), names=names)
    with pytest.raises(InputError, match="the query shows identity bob of the train"):
        require_strangers(known)
