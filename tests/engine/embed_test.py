"""Embeddings of tables of images, whatever their number."""

import dataclasses

import numpy as np
import pytest

from ckda_jax.engine.embed import Embedder


@pytest.fixture
def embedder(assembled) -> Embedder:
    """The assembled run's embedder."""
    return assembled.evaluator.embedder


@pytest.fixture
def records(assembled):
    """The infrared test images of RegDB, 40 of them: a whole batch and a part."""
    (protocol,) = assembled.datasets[0].protocols.values()
    assert len(protocol.gallery) == 40
    return protocol.gallery


def test_every_image_is_embedded_in_order(embedder, snapshot, records):
    found = embedder.table(snapshot, records, "lanczos", 1)
    assert found.shape == (40, 12)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    for row in (0, 31, 32, 39):
        alone = embedder.table(snapshot, records.take(np.array([row])), "lanczos", 1)
        np.testing.assert_allclose(alone[0], found[row], atol=1e-5)


def test_nothing_has_no_embeddings(embedder, snapshot, records):
    found = embedder.table(snapshot, records.take(np.arange(0)), "lanczos", 1)
    assert found.shape == (0, 12)


def test_threads_have_no_influence(embedder, snapshot, records):
    threaded = dataclasses.replace(embedder, threads=3)
    np.testing.assert_array_equal(
        threaded.table(snapshot, records, "lanczos", 1),
        embedder.table(snapshot, records, "lanczos", 1),
    )


def test_the_size_of_the_batches_has_no_influence(embedder, snapshot, records):
    few = records.take(np.arange(5))
    np.testing.assert_allclose(
        embedder.table(snapshot, few, "lanczos", 1, batch=2),
        embedder.table(snapshot, few, "lanczos", 1),
        atol=1e-5,
    )


def test_the_modality_decides_through_whose_prompts_images_go(
    embedder, snapshot, records
):
    few = records.take(np.arange(4))
    own = embedder.table(snapshot, few, "lanczos", 1)
    other = embedder.table(snapshot, few, "lanczos", 0)
    assert np.abs(own - other).max() > 1e-4


def test_outputs_are_those_of_the_embedded_images(embedder, snapshot, records):
    images = embedder.read(records.take(np.arange(3)), "lanczos")
    assert images.shape == (3, 32, 16, 3)
    out = embedder.outputs(snapshot, np.stack([images, images]))
    neck = np.asarray(out.neck[1])
    unit = neck / np.linalg.norm(neck, axis=-1, keepdims=True)
    found = embedder.table(snapshot, records.take(np.arange(3)), "lanczos", 1)
    np.testing.assert_allclose(unit, found, atol=1e-5)


def test_processes_embed_contiguous_shares_of_each_batch(
    embedder, snapshot, records, monkeypatch
):
    shares = []
    for index in range(2):
        monkeypatch.setattr(type(embedder.cluster), "shard", (index, 2))
        shares.append(list(embedder._shares(records, "lanczos", 32)))
    assert [len(share) for share in shares] == [2, 2]
    batches = [np.concatenate(pair) for pair in zip(*shares, strict=True)]
    assert all(batch.shape[0] == 32 for batch in batches)
    whole = embedder.read(records, "lanczos")
    np.testing.assert_array_equal(np.concatenate(batches)[:40], whole)
