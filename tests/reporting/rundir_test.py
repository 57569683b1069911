"""A run directory is read whole, in part, and refused when broken."""

import numpy as np
import pytest

from ckda_jax.files import write_json
from ckda_jax.reporting import rundir
from ckda_jax.structs import InputError
from tests.reporting.fake_run import DATASETS, write_run


def test_whole_run(tmp_path):
    write_run(tmp_path)
    run = rundir.read(tmp_path)
    assert run.config["method"] == "ckda"
    assert run.results["datasets"] == list(DATASETS)
    assert len(run.rows) == 160
    assert [example.dataset for example in run.examples] == list(DATASETS)
    first = run.examples[0]
    assert first.protocol == "visible-thermal" and len(first.queries) == 3
    assert first.prompts is not None
    assert first.prompts.images.shape == (2, 3, 128, 64, 3)
    assert first.prompts.common.shape == first.prompts.specific.shape == (2, 3, 128, 64)


def test_empty_directory_is_an_empty_run(tmp_path):
    run = rundir.read(tmp_path)
    assert (run.config, run.results, run.rows, run.examples) == ({}, {}, [], [])
    assert run.modalities == ("visible", "infrared")


def test_modalities_are_those_of_the_config(tmp_path):
    write_json(tmp_path / "config.json", {"modalities": ["visible", "thermal"]})
    assert rundir.read(tmp_path).modalities == ("visible", "thermal")


def test_lists_and_maps_may_come_alone(tmp_path):
    (tmp_path / "examples").mkdir()
    write_json(tmp_path / "examples" / "b.json", {"protocol": "p", "queries": []})
    zeros = np.zeros((2, 1, 4, 2))
    images = np.zeros((2, 1, 4, 2, 3), np.uint8)
    path = tmp_path / "examples" / "a.npz"
    np.savez(path, images=images, common=zeros, specific=zeros)
    a, b = rundir.read(tmp_path).examples
    assert (a.dataset, a.queries, b.dataset, b.prompts) == ("a", [], "b", None)
    assert a.prompts is not None
    assert a.prompts.modality.tolist() == [0, 1]
    np.savez(path, modality=[0, 2], images=images, common=zeros, specific=zeros)
    a, _ = rundir.read(tmp_path).examples
    assert a.prompts is not None
    assert a.prompts.modality.tolist() == [0, 2]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("config.json", b"{", "config.json: not readable as JSON"),
        ("results.json", b"[]", "holds no JSON object"),
        ("results.json", b'{"format": 9}', "format 9, expected 1"),
        ("examples/a.npz", b"no archive", "no readable prompt maps"),
        ("metrics.jsonl", b"x\n", "line 1"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    (tmp_path / "examples").mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        rundir.read(tmp_path)


def test_archive_without_an_array_is_refused(tmp_path):
    (tmp_path / "examples").mkdir()
    np.savez(tmp_path / "examples" / "a.npz", common=np.zeros(1))
    with pytest.raises(InputError, match="images"):
        rundir.read(tmp_path)


def test_missing_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        rundir.read(tmp_path / "absent")
