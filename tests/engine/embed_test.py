"""Embeddings of tables of images, whatever their number."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from ckda_jax.engine.embed import Embedder
from ckda_jax.engine.layout import Layout
from ckda_jax.engine.peers import Peers


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


def test_sums_are_those_of_the_table_by_label(embedder, snapshot, records):
    labels = np.arange(40) % 3
    found = embedder.sums(snapshot, records, "lanczos", 1, labels, 5)
    table = embedder.table(snapshot, records, "lanczos", 1)
    wanted = [table[labels == label].sum(axis=0) for label in range(5)]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not np.asarray(found[3:]).any()
    none = embedder.sums(
        snapshot, records.take(np.arange(0)), "lanczos", 1, labels[:0], 5
    )
    assert none.shape == (5, 12) and not np.asarray(none).any()


def test_sums_are_laid_out_like_prototypes(embedder, snapshot, records):
    rules = Layout(parameters="fsdp", large=40)
    shared = dataclasses.replace(
        embedder, cluster=dataclasses.replace(embedder.cluster, layout=rules)
    )
    found = shared.sums(snapshot, records, "lanczos", 1, np.arange(40) % 7, 7)
    assert found.sharding.spec == P(None, "data")
    wanted = embedder.sums(snapshot, records, "lanczos", 1, np.arange(40) % 7, 7)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    # A batch goes to every device, the sums themselves stay where they are.
    batch = shared.cluster.put((np.zeros((32, 32, 16, 3), "u1"), np.zeros(32, "i4")), 0)
    lowered = shared._add_embeddings.lower({"sums": found}, snapshot, batch, 1)
    gathers = re.findall(r"= (\S+?)\{.* all-gather\(", lowered.compile().as_text())
    assert gathers and not [shape for shape in gathers if shape.startswith("f32[7,")]


def test_anything_is_added_up_over_a_table_and_laid_out_by_its_name(
    embedder, snapshot, records
):
    """Squared gradients, say: here by the neck's scale, of the sum of each image."""

    def add(total, snapshot, batch, power):
        images, label = batch
        pixels = images.astype("float32").mean(axis=(1, 2, 3)) / 255
        there = jnp.where(label < 40, pixels, 0)
        scale = snapshot.variables["params"]["neck"]["scale"]
        return {"neck/scale": total["neck/scale"] + (there.sum() * scale) ** power}

    start = {"neck/scale": jax.ShapeDtypeStruct((12,), "float32")}
    folding = embedder.cluster.folding(add)
    few = records.take(np.arange(3))
    found = embedder.fold(folding, start, snapshot, few, "lanczos", np.arange(3), 2)
    bright = embedder.read(few, "lanczos").mean(axis=(1, 2, 3)).sum() / 255
    scale = np.asarray(snapshot.variables["params"]["neck"]["scale"])
    np.testing.assert_allclose(found["neck/scale"], (bright * scale) ** 2, rtol=1e-4)


def test_a_process_reads_as_many_batches_as_any_other(embedder, records, monkeypatch):
    two = dataclasses.replace(embedder)
    monkeypatch.setattr(type(two.cluster), "shard", (1, 2))
    monkeypatch.setattr(Peers, "most", lambda self, number: number + 1)
    read = list(two._batches(records, "lanczos", 32))
    assert [len(images) for images in read] == [16] * 4
    whole = embedder.read(records, "lanczos")
    np.testing.assert_array_equal(np.concatenate(read)[:40], whole)
    assert not np.concatenate(read)[40:].any()
