"""Fault 24: a run goes on with another config than it began with."""

import json
import shutil

import pytest

from ckda_jax import train
from ckda_jax.build.inference import load_model
from ckda_jax.structs import InputError
from tests import runs


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"model__width": 24}, ["model.width: 12 -> 24"]),
        ({"optim__lr": 0.01}, ["optim.lr: 0.001 -> 0.01"]),
        (
            {"model__depth": 3, "data__max_identities": 5},
            ["data.max_identities: 0 -> 5", "model.depth: 2 -> 3"],
        ),
    ],
)
def test_24_every_key_that_differs_is_listed(finished, world, capsys, changes, lines):
    assert train.main(runs.words(finished, world, **changes)) == 2
    error, *listed = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {finished} holds a run of another configuration")
    assert [line.strip() for line in listed] == lines


def test_24_a_checkpoint_of_another_architecture_is_refused_by_its_arrays(
    inside, world, capsys
):
    config = json.loads((inside / "config.json").read_text())
    config["model"]["width"] = 24
    (inside / "config.json").write_text(json.dumps(config))
    assert train.main(runs.words(inside, world, model__width=24)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {inside}/checkpoints/stages/0: cannot be restored")
    assert error.count("\n") == 1


def test_24_a_model_is_not_loaded_under_another_config(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["model"]["width"] = 24
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="do not fit its config.json"):
        load_model(folder)
