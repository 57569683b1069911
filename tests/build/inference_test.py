"""A finished stage, opened without the run's data, embeds as its evaluation does."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from ckda_jax import build
from ckda_jax import config as config_lib
from ckda_jax.build.inference import Model, digest, load_model
from ckda_jax.data import catalog
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.lifelong import restore
from ckda_jax.engine.step import Learner
from ckda_jax.methods import METHODS
from ckda_jax.methods.combined import combine
from ckda_jax.structs import InputError
from tests import gate, runs


@pytest.fixture(scope="module")
def alone(finished, tmp_path_factory) -> Path:
    """The finished run's config and checkpoints, without all else, at another place."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    folder.mkdir()
    shutil.copy(finished / "config.json", folder)
    shutil.copytree(finished / "checkpoints", folder / "checkpoints")
    config = json.loads((folder / "config.json").read_text())
    config["data"]["roots"] = dict.fromkeys(config["data"]["roots"], "/nowhere")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def model(alone) -> Model:
    """The model after the last stage."""
    return load_model(alone)


@pytest.fixture(scope="module")
def records(world):
    """The infrared gallery of RegDB."""
    dataset = catalog.load("regdb", world["regdb"])
    return next(iter(dataset.protocols.values())).gallery


def test_embeddings_are_those_of_the_evaluation(
    model, finished, world, records, tmp_path
):
    found = model.embed(records.paths.tolist(), "infrared")
    assert found.shape == (40, model.width) == (40, 12)
    assert found.dtype == np.float32
    config = runs.configuration(world)
    run = build.assemble(config, tmp_path, Cluster.of_all_devices())
    checkpoints = Checkpoints(finished / "checkpoints", writes=False)
    snapshot = restore(checkpoints, 1, run.origin)
    checkpoints.close()
    wanted = run.evaluator.embedder.table(snapshot, records, "lanczos", 1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_files_and_arrays_of_any_number_give_the_same(model, records):
    paths = records.paths[:5].tolist()
    several = model.embed(paths, "infrared")
    (alone,) = model.embed([Path(paths[3])], "infrared")
    np.testing.assert_allclose(alone, several[3], atol=1e-5)
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    np.testing.assert_allclose(model.embed(arrays, "infrared"), several, atol=1e-5)
    assert np.abs(model.embed(paths, "visible") - several).max() > 1e-4
    assert model.embed([], "visible").shape == (0, 12)


def test_progress_counts_the_files(model, records):
    told = []
    model.embed(records.paths[:40].tolist(), "infrared", progress=told.append)
    assert told == [32, 40]


def test_batches_grow_in_steps(model):
    assert [model._batch(n) for n in (0, 1, 2, 3, 9, 31, 32, 1000)] == [
        2, 2, 2, 4, 16, 32, 32, 32
    ]  # fmt: skip


def test_the_stage_is_the_last_or_the_one_asked_for(model, alone):
    first = load_model(alone, 1)
    assert (model.stage, first.stage) == (2, 1)
    assert first.digest != model.digest
    assert int(first.snapshot.stage) == 0


def test_the_digest_is_that_of_the_model_wherever_it_lies(model, alone, finished):
    assert load_model(finished).digest == model.digest
    kept = {"variables": {"a": np.ones(3)}, "memory": {}}
    config = config_lib.from_json(alone / "config.json")
    first = digest(config, kept, 0)
    assert len(first) == 32
    assert digest(config, kept, 1) != first
    assert digest(config, kept | {"variables": {"a": np.zeros(3)}}, 0) != first
    assert digest(config, kept | {"memory": {"b": np.ones(3)}}, 0) != first
    with config.unlocked():
        config.data.threads = 9
        assert digest(config, kept, 0) == first
        config.norm.eval_statistics = "instance"
    assert digest(config, kept, 0) != first


def test_modalities_are_those_of_the_config_or_the_usual_two(alone):
    config = config_lib.from_json(alone / "config.json")
    assert build.modalities(config) == ("visible", "infrared")
    with config.unlocked():
        config.modalities = ("visible", "depth")
    assert build.modalities(config) == ("visible", "depth")


def test_what_cannot_be_embedded_is_refused(model, records, tmp_path):
    with pytest.raises(
        InputError, match="unknown modality 'depth'; this model has vis"
    ):
        model.embed(records.paths[:1].tolist(), "depth")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="broken.png: not an image"):
        model.embed([records.paths[0], tmp_path / "broken.png"], "visible")
    for bad in (np.zeros((8, 4, 3)), np.zeros((8, 4), np.uint8)):
        with pytest.raises(InputError, match="all as uint8 arrays"):
            model.embed([bad], "visible")
    with pytest.raises(InputError, match="all as uint8 arrays"):
        model.embed([np.zeros((8, 4, 3), np.uint8), "a.png"], "visible")


def test_runs_that_are_none_or_do_not_fit_are_refused(alone, tmp_path):
    with pytest.raises(InputError, match="is its folder that of a run"):
        load_model(tmp_path)
    with pytest.raises(
        InputError, match="stage 5 of .* is not finished; finished: 1, 2"
    ):
        load_model(alone, 5)
    other = tmp_path / "run"
    shutil.copytree(alone, other)
    config = json.loads((other / "config.json").read_text())
    config["model"]["width"] = 24
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="variables of its checkpoint do not fit its"):
        load_model(other)
    shutil.rmtree(other / "checkpoints")
    with pytest.raises(InputError, match="no stage of .* is finished"):
        load_model(other)


def gated_run(folder: Path, config, gates: float) -> Path:
    """Save a stage of a run whose method's memory and embedding act."""
    learns = Learner(
        model=build.model(config, 12),
        method=build.method(config, 0),
        optimiser=build.optimiser(config),
        prepare=build.augment(config),
    )
    variables = build.variables(config, learns)
    memory = learns.method.init(jax.random.key(0), variables)
    memory = jax.tree.map(lambda x: x * np.asarray(gates, x.dtype), memory)
    folder.mkdir()
    (folder / "config.json").write_text(config_lib.to_json(config))
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save_stage(0, variables, memory)
    checkpoints.close()
    return folder


def test_a_methods_memory_and_embedding_are_used(alone, records, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "gate", lambda settings: combine(toy=gate.gate(2)))
    config = config_lib.from_json(alone / "config.json")
    with config.unlocked():
        config.method = "gate"
    open_gates = load_model(gated_run(tmp_path / "open", config, 1.0))
    shut = load_model(gated_run(tmp_path / "shut", config, 0.0))
    assert open_gates.digest != shut.digest
    paths = records.paths[:2].tolist()
    one, other = (model.embed(paths, "visible") for model in (open_gates, shut))
    assert np.abs(one - other).max() > 1e-3
    # The gate's embedding is the mean of an image's and its mirror image's.
    flipped = [np.asarray(Image.open(path).convert("RGB"))[:, ::-1] for path in paths]
    np.testing.assert_allclose(open_gates.embed(flipped, "visible"), one, atol=1e-3)
