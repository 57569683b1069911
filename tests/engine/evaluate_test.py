"""Evaluation: rankings, their lists, prompt maps and whose prompts are used."""

import dataclasses

import numpy as np
import pytest

from ckda_jax.engine.embed import Embedder
from ckda_jax.engine.evaluate import Few, check_per_dataset, per_dataset
from ckda_jax.structs import InputError
from tests import runs
from tests.engine.ranking_test import first_distances


def test_processes_do_not_rerank(assembled):
    evaluator = dataclasses.replace(assembled.evaluator, rerank_bytes=2**30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(evaluator.embedder.cluster), "shard", (0, 2))
        with pytest.raises(InputError, match="into one process, but there are 2"):
            dataclasses.replace(evaluator)


def test_distances_are_minus_the_cosines_of_the_embeddings(assembled, snapshot):
    evaluator, dataset = assembled.evaluator, assembled.datasets[0]
    (protocol,) = dataset.protocols.values()
    distances = first_distances(evaluator.rank(snapshot, dataset, protocol))
    assert distances.shape == (len(protocol.query), len(protocol.gallery))
    chain = dataset.resize_test
    query = evaluator.embedder.table(
        snapshot, protocol.query.take(np.array([3])), chain, 0
    )
    gallery = evaluator.embedder.table(
        snapshot, protocol.gallery.take(np.array([5])), chain, 1
    )
    cosine = float(query[0] @ gallery[0])
    assert distances[3, 5] == pytest.approx(-cosine, abs=1e-5)
    assert np.abs(distances).max() <= 1 + 1e-5


def test_protocols_of_a_dataset_share_the_embeddings_of_their_images(
    assembled, snapshot, monkeypatch
):
    evaluator, dataset = assembled.evaluator, assembled.datasets[0]
    (forth,) = dataset.protocols.values()
    back = dataclasses.replace(forth, query=forth.gallery, gallery=forth.query)
    wanted = [evaluator.rank(snapshot, dataset, one) for one in (forth, back)]
    embedded, table = [], Embedder.table

    def counted(self, snapshot, records, *more):
        embedded.extend(records.paths.tolist())
        return table(self, snapshot, records, *more)

    monkeypatch.setattr(Embedder, "table", counted)
    found = evaluator.rankings(snapshot, dataset, [forth, back])
    for ranking, alone in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ranking.query, alone.query)
        np.testing.assert_array_equal(ranking.gallery, alone.gallery)
    assert len(embedded) == len(set(embedded)) == len(forth.query) + len(forth.gallery)


def test_swapped_modalities_feed_images_through_the_others_prompts(assembled, snapshot):
    def distances(modality, place):
        evaluator = dataclasses.replace(assembled.evaluator, modality=modality)
        dataset = assembled.datasets[place]
        (protocol,) = dataset.protocols.values()
        return first_distances(evaluator.rank(snapshot, dataset, protocol))

    regdb, llcm = 0, 2
    assert assembled.datasets[llcm].name == "llcm"
    own = distances("own", regdb)
    assert np.abs(distances("swapped", regdb) - own).max() > 1e-4
    np.testing.assert_array_equal(distances("llcm:swapped", regdb), own)
    swapped = distances("llcm:swapped", llcm)
    np.testing.assert_array_equal(swapped, distances("swapped", llcm))
    assert np.abs(swapped - distances("own", llcm)).max() > 1e-4


def test_examples_are_what_the_report_reads(assembled, snapshot, tmp_path):
    dataset = assembled.datasets[1]
    (protocol,) = dataset.protocols.values()
    ranking = assembled.evaluator.rank(snapshot, dataset, protocol)
    assembled.evaluator.write_examples(snapshot, dataset, ranking, Few(2, tmp_path))
    assert runs.listing(tmp_path) == ["sysu.json", "sysu.npz"]
    with np.load(tmp_path / "sysu.npz") as file:
        maps = dict(file)
    assert maps["modality"].tolist() == [0, 1]
    assert maps["images"].shape == (2, 2, 32, 16, 3)
    assert maps["images"].dtype == np.uint8
    out = assembled.evaluator.embedder.outputs(snapshot, maps["images"])
    for name in ("common", "specific"):
        prompt = np.abs(np.asarray(getattr(out, f"{name}_prompt"))).mean(-1)
        np.testing.assert_array_equal(maps[name], prompt)
        assert maps[name].shape == (2, 2, 32, 16)
        assert maps[name].min() >= 0 < maps[name].max()


def test_per_dataset_reads_one_value_or_pairs():
    assert per_dataset("swapped", "any", "own") == "swapped"
    assert per_dataset("a:swapped,b:own", "a", "own") == "swapped"
    assert per_dataset("a:swapped,b:own", "c", "own") == "own"


def test_maps_of_a_modality_the_protocol_has_not_are_of_training_images(
    assembled, snapshot
):
    dataset = assembled.datasets[1]
    (protocol,) = dataset.protocols.values()
    alone = dataclasses.replace(protocol, query=protocol.gallery)
    maps = assembled.evaluator.prompt_maps(snapshot, dataset, alone, 2)
    assert maps["modality"].tolist() == [0, 1]
    infrared = dataset.train.take(dataset.train.modality == 1)
    ends = infrared.take(np.array([0, -1]))
    read = assembled.evaluator.embedder.read(ends, dataset.resize_test)
    np.testing.assert_array_equal(maps["images"][1], read)
    visible = dataset.train.take(dataset.train.modality == 0)
    bare = dataclasses.replace(dataset, train=visible)
    maps = assembled.evaluator.prompt_maps(snapshot, bare, alone, 2)
    assert maps["modality"].tolist() == [0]
    assert [len(part) for part in maps.values()] == [1] * 4


def test_check_per_dataset_knows_own_datasets():
    check_per_dataset("key", "gate:swapped", ("own", "swapped"), ["gate"])
    with pytest.raises(InputError, match="'gate' is no dataset; there are .*, yard"):
        check_per_dataset("key", "gate:swapped", ("own", "swapped"), ["yard"])


@pytest.mark.parametrize(
    "value", ["other", "llcm:other", "llcm:own,vcm:x", "", "llcm:own,own", "lcm:own"]
)
def test_check_per_dataset_refuses_other_values(value):
    with pytest.raises(InputError, match="config.eval.modality"):
        check_per_dataset("config.eval.modality", value, ("own", "swapped"))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("own", ["own", "own"]),
        ("swapped", ["swapped", "swapped"]),
        ("llcm:swapped", ["swapped", "own"]),
        ("llcm:own,vcm:swapped", ["own", "swapped"]),
    ],
)
def test_what_check_per_dataset_takes_is_read(value, read):
    check_per_dataset("config.eval.modality", value, ("own", "swapped"))
    assert [per_dataset(value, name, "own") for name in ("llcm", "vcm")] == read
