import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import chex
import numpy as np
import pytest
from PIL import Image

from ckda_jax.data import images
from ckda_jax.data.decode import read_image
from ckda_jax.data.pipeline import Loading, TrainingStream, images_of
from ckda_jax.data.sampling import PairedSampler
from ckda_jax.structs import Batch, InputError, Records

SIZE = (24, 12)
STEPS = 9


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Records:
    """Write 6 identities x 3 images x 2 modalities."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = []
    for index in range(36):
        paths.append(str(folder / f"{index:02}.png"))
        pixels = rng.integers(0, 256, (20, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    return Records(
        paths=np.array(paths),
        identity=np.tile(np.repeat(np.arange(6), 3), 2),
        modality=np.repeat([0, 1], 18).astype(np.int8),
        camera=np.zeros(36, np.int32),
        tracklet=np.zeros(36, np.int32),
    )


def sampler_of(records: Records, **changes) -> PairedSampler:
    settings: dict[str, Any] = {"identities": 4, "images": 2, "steps": STEPS} | changes
    return PairedSampler(records.identity + 10, records.modality, **settings)


def stream_of(records: Records, *, shard=(0, 1), **loading) -> TrainingStream:
    settings = Loading(**{"size": SIZE, "threads": 2, **loading})
    return TrainingStream(records, sampler_of(records), settings, shard=shard)


@pytest.mark.portable
def test_a_batch_holds_the_images_and_labels_of_the_sampled_rows(records):
    sampler = sampler_of(records)
    batches = list(stream_of(records, chain="regdb"))
    assert len(batches) == len(stream_of(records)) == STEPS
    for rows, batch in zip(sampler, batches, strict=True):
        assert isinstance(batch, Batch)
        np.testing.assert_array_equal(batch.example, rows)
        np.testing.assert_array_equal(batch.labels, records.identity[rows] + 10)
        np.testing.assert_array_equal(batch.present, [True, True])
        chex.assert_shape(batch.images, (2, 8, *SIZE, 3))
        for place in np.ndindex(2, 8):
            want = read_image(records.paths[rows[place]], SIZE, "regdb")
            np.testing.assert_array_equal(batch.images[place], want)
    types = [x.dtype for x in (batch.images, batch.labels, batch.example)]
    assert types == [np.uint8, np.int32, np.int32]


@pytest.mark.portable
@pytest.mark.parametrize(
    "loading",
    [
        {"threads": 0},
        {"threads": 4, "prefetch": 1},
        {"cache_bytes": 10**6},
        {"cache_bytes": 10 * 24 * 12 * 3},
    ],
)
def test_reading_settings_do_not_change_the_batches(records, loading):
    chex.assert_trees_all_equal(
        list(stream_of(records, **loading)), list(stream_of(records))
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_do_not_change_the_batches(records, workers):
    with stream_of(records, workers=workers) as stream:
        got = list(stream)
    chex.assert_trees_all_equal(got, list(stream_of(records)))


@pytest.mark.parametrize("step", [0, 4, STEPS])
def test_a_stream_continues_where_its_state_was_taken(records, step):
    stream = stream_of(records)
    before = [next(stream) for _ in range(step)]
    state = json.loads(json.dumps(stream.get_state()))
    assert state["step"] == step
    resumed = stream_of(records)
    resumed.set_state(state)
    chex.assert_trees_all_equal([*before, *resumed], list(stream_of(records)))
    assert resumed.get_state()["step"] == STEPS


def test_starting_late_reads_nothing_that_lies_before(records, monkeypatch):
    read = []

    def spy(path, size, chain, *, strict):
        read.append(path)
        return read_image(path, size, chain, strict=strict)

    monkeypatch.setattr(images, "read_image", spy)
    stream = stream_of(records, threads=0)
    stream.set_state({**stream.get_state(), "step": STEPS - 1})
    assert len(list(stream)) == 1
    assert len(read) == 16


def test_the_cache_decodes_every_image_once(records, monkeypatch):
    read = []

    def spy(path, size, chain, *, strict):
        read.append(path)
        return read_image(path, size, chain, strict=strict)

    monkeypatch.setattr(images, "read_image", spy)
    list(stream_of(records, threads=0, cache_bytes=10**6))
    assert len(read) == len(set(read)) == 36


def test_a_state_of_other_data_is_refused(records):
    state = stream_of(records).get_state()
    fewer = records.take(np.arange(len(records)) != 7)
    moved = dataclasses.replace(
        records, paths=np.char.replace(records.paths, "/images0/", "/renamed/")
    )
    for other in (fewer, moved):
        with pytest.raises(InputError, match="changed since the checkpoint"):
            stream_of(other).set_state(state)


def test_a_moved_root_is_the_same_data(records):
    moved = dataclasses.replace(records, paths=np.char.add("/mnt", records.paths))
    assert stream_of(moved).get_state() == stream_of(records).get_state()


def test_shards_put_together_are_the_batch(records):
    whole = list(stream_of(records))
    shards = [list(stream_of(records, shard=(index, 2))) for index in range(2)]
    for batch, first, second in zip(whole, *shards, strict=True):
        for name in ("images", "labels", "example"):
            parts = [getattr(part, name) for part in (first, second)]
            np.testing.assert_array_equal(
                np.concatenate(parts, axis=1), getattr(batch, name)
            )


def test_rows_that_processes_cannot_share_are_refused(records):
    with pytest.raises(InputError, match="8 rows .* 3 processes.*multiple"):
        stream_of(records, shard=(0, 3))


def test_an_absent_modality_is_zeros_with_the_labels_of_the_others(records):
    visible = records.take(records.modality == 0)
    batch = next(stream_of(visible))
    np.testing.assert_array_equal(batch.present, [True, False])
    np.testing.assert_array_equal(batch.labels[1], batch.labels[0])
    assert (batch.example[1] == -1).all()
    assert (batch.images[1] == 0).all()
    assert batch.images[0].any()


def with_damage(records: Records, folder) -> Records:
    """Point one row at an empty file."""
    path = folder / "empty.png"
    path.write_bytes(b"")
    paths = records.paths.astype(object)
    paths[20] = str(path)
    return dataclasses.replace(records, paths=paths.astype(str))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_ends_the_stream_with_its_name(records, tmp_path, workers):
    damaged = with_damage(records, tmp_path)
    with (
        stream_of(damaged, workers=workers) as stream,
        pytest.raises(InputError, match="empty.png: the file is empty") as caught,
    ):
        list(stream)
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)


def test_records_of_another_table_are_an_error(records):
    with pytest.raises(ValueError, match="35 records, but the sampler draws from 36"):
        TrainingStream(
            records.take(np.arange(35)), sampler_of(records), Loading(size=SIZE)
        )


@pytest.mark.parametrize("threads", [0, 3])
def test_images_of_reads_in_order_and_fills_the_last_batch(records, threads):
    some = records.take(np.arange(7))
    batches = list(images_of(some, SIZE, "lanczos", 3, threads))
    assert [count for _, count in batches] == [3, 3, 1]
    chex.assert_shape([images for images, _ in batches], (3, *SIZE, 3))
    got = np.concatenate([images for images, _ in batches])
    want = np.stack([read_image(path, SIZE) for path in some.paths])
    np.testing.assert_array_equal(got[:7], want)
    assert (got[7:] == 0).all()


def test_images_of_an_empty_table_is_empty(records):
    nothing = records.take(np.arange(0))
    assert list(images_of(nothing, SIZE, "lanczos", 3, 2)) == []


def test_images_of_names_a_damaged_image(records, tmp_path):
    damaged = with_damage(records, tmp_path)
    with pytest.raises(InputError, match="empty.png: the file is empty"):
        list(images_of(damaged, SIZE, "lanczos", 8, 2))


@pytest.fixture
def crowd(records, tmp_path) -> Records:
    """Copy the images to a table of 144, to be spoilt."""
    paths = [str(tmp_path / f"{index:03}.png") for index in range(144)]
    rows = np.tile(np.arange(36), 4)
    for row, path in zip(rows, paths, strict=True):
        Path(path).write_bytes(Path(records.paths[row]).read_bytes())
    identity = records.identity[rows] + np.repeat(6 * np.arange(4), 36)
    return dataclasses.replace(
        records.take(rows), paths=np.array(paths), identity=identity
    )


def skipping(crowd: Records, told: list[str] | None = None, **loading: Any):
    settings = Loading(**{"size": SIZE, "bad_images": "skip", "threads": 2, **loading})
    sampler = sampler_of(crowd, identities=12, images=3)
    note = None if told is None else told.append
    return TrainingStream(crowd, sampler, settings, note=note)


def test_a_bad_image_is_replaced_whatever_reads_it(crowd):
    whole = list(skipping(crowd))
    os.truncate(crowd.paths[38], 0)
    told = []
    stream = skipping(crowd, told)
    batches = list(stream)
    assert len(stream.replacements) == 1
    assert told == [
        f"{crowd.paths[38]} cannot be used; {crowd.paths[36]} takes its place "
        "(1 of 144 images so far)"
    ]
    shown = read_image(crowd.paths[36], SIZE)
    for got, want in zip(batches, whole, strict=True):
        bad = want.example == 38
        chex.assert_trees_all_equal(got.images[~bad], want.images[~bad])
        assert (got.images[bad] == shown).all()
        chex.assert_trees_all_equal(
            dataclasses.replace(got, images=0), dataclasses.replace(want, images=0)
        )
    assert any((want.example == 38).any() for want in whole)
    for key, value in (("threads", 0), ("cache_bytes", 10**7), ("workers", 1)):
        with skipping(crowd, None, **{key: value}) as other:
            chex.assert_trees_all_equal(list(other), batches)


def test_too_many_bad_images_end_the_stream(crowd):
    for row in (3, 60):
        os.truncate(crowd.paths[row], 0)
    with pytest.raises(InputError, match="2 of 144 images so far, more than 1%") as end:
        list(skipping(crowd))
    assert "config.data.bad_images=skip" in str(end.value)


@pytest.mark.parametrize("bad_images", ["error", "skip"])
def test_an_image_that_vanishes_during_the_run(crowd, bad_images):
    stream = skipping(crowd, bad_images=bad_images, threads=0)
    seen = set(next(stream).example.ravel().tolist())
    row = next(
        row
        for batch in skipping(crowd)
        for row in batch.example.ravel()
        if row not in seen
    )
    os.unlink(crowd.paths[row])
    if bad_images == "skip":
        assert len(list(stream)) == STEPS - 1
        assert len(stream.replacements) == 1
    else:
        with pytest.raises(InputError, match=f"{crowd.paths[row]}: was there when"):
            list(stream)
