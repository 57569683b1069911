"""Pretraining: what a run leaves behind, and what happens when it is run again."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax import build, pretrain
from ckda_jax import config as config_lib
from ckda_jax.data import synthetic
from ckda_jax.engine import lifelong, pretrained
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.pretrained import digest
from ckda_jax.trees import named_leaves
from tests import runs

CONFIG = runs.ROOT / "configs" / "pretrain.py"
TINY = {
    "compile_cache": "",
    "crowd.identities": 6,
    "crowd.held_out": 3,
    "crowd.images": 4,
    "crowd.cameras": 4,
    "data.threads": 0,
    "data.synthetic.identities": 4,
    "data.synthetic.test_identities": 4,
    "data.synthetic.images": 4,
    "model.image_size": "32,16",
    "model.width": 12,
    "model.depth": 2,
    "model.heads": 2,
    "prompts.common_width": 4,
    "prompts.specific_width": 2,
    "train.identities": 4,
    "train.images": 2,
    "train.epochs": 2,
    "train.steps": 2,
    "train.log_every": 1,
    "train.checkpoint_every": 1,
    "eval.batch": 32,
}


def words(workdir, **changes):
    """Write the command line of a tiny run; dots in the keys as `__`."""
    keys = TINY | {name.replace("__", "."): value for name, value in changes.items()}
    options = [f"--config.{key}={value}" for key, value in keys.items()]
    return ["--config", str(CONFIG), "--workdir", str(workdir), *options]


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Compile steps quickly rather than well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "compiled_step", runs.compile_quickly)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Take a tiny run to its end; its directory."""
    workdir = tmp_path_factory.mktemp("pretrain") / "run"
    assert pretrain.main(words(workdir)) == 0
    return workdir


def test_a_run_leaves_a_backbone_with_its_digest_and_scores(finished):
    sidecar = json.loads((finished / "backbone.json").read_text())
    assert sidecar["sha256"] == digest(finished / "backbone.npz")
    assert "crowd.images: 10 -> 4" in sidecar["changes"]
    assert sidecar["steps"] == 4
    assert sidecar["images_per_step"] == 8
    assert sidecar["crowd"]["identities"] == 6
    assert sidecar["seconds"] > 0
    sites = {name.split("/")[0] for name in sidecar["scores"]["sites"]}
    assert sites == set(synthetic.NAMES)
    (held_out,) = sidecar["scores"]["held out"].values()
    assert (held_out["queries"], held_out["gallery"]) == (3, 9)
    assert [row["step"] for row in runs.metrics(finished)] == [1, 2, 3, 4]


def test_training_moves_every_part_of_the_backbone(finished):
    start = Checkpoints(finished / "checkpoints", writes=False)
    saved = start.restore_as_saved(0)["variables"]["params"]
    start.close()
    assert saved["neck"]["scale"].shape == (12,)
    with np.load(finished / "backbone.npz") as file:
        assert file["grid"].tolist() == [2, 1]
        assert all(np.isfinite(file[name]).all() for name in file.files)
        starts = {"blocks/norm1/scale": 1, "norm/scale": 1, "patch_embed/conv0/bias": 0}
        for name, start in starts.items():
            assert (file[f"backbone/{name}"] != start).mean() > 0.5


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bits(finished, tmp_path, monkeypatch):
    def interrupt(this, desk, stage, done, *rest):
        turn_aside(this, desk, stage, done, *rest)
        if done == 3:
            raise KeyboardInterrupt

    turn_aside = lifelong.turn_aside
    with monkeypatch.context() as patch:
        patch.setattr(lifelong, "turn_aside", interrupt)
        assert pretrain.main(words(tmp_path)) == 130
    assert not (tmp_path / "backbone.npz").exists()
    assert pretrain.main(words(tmp_path)) == 0
    assert runs.metrics(tmp_path) == runs.metrics(finished)
    left, right = (
        json.loads((folder / "backbone.json").read_text())
        for folder in (tmp_path, finished)
    )
    assert left["sha256"] == right["sha256"]
    assert left["scores"] == right["scores"]


def test_a_finished_run_is_only_scored_again(finished, capsys):
    before = digest(finished / "backbone.npz")
    assert pretrain.main(words(finished)) == 0
    assert digest(finished / "backbone.npz") == before
    told = capsys.readouterr().out
    assert "step" not in told and "rank-1" in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crowd__identities": 3}, "cannot fill batches"),
        ({"crowd__images": 1}, "crowd.images = 1"),
        ({"train__epochs": 0}, "config.train.epochs=0"),
        ({"augment__infrared": True, "optim__lr": -1.0}, "config.optim.lr=-1.0"),
        ({"crowd__persons": 3}, "persons"),
        ({"data__synthetic__identities": 2}, "config.data.synthetic.identities=2"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_written(
    tmp_path, capsys, changes, said
):
    assert pretrain.main(words(tmp_path / "run", **changes)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def resolved(**changes):
    """Resolve the configuration of a tiny run."""
    return config_lib.parse(pretrain.parser(), words("unused", **changes))[1]


def test_the_model_computes_as_the_config_says():
    plain = pretrain.model(resolved(), classes=2).backbone
    assert (plain.dtype, plain.remat) == (None, False)
    config = resolved(model__dtype="bfloat16", model__remat=True)
    changed = pretrain.model(config, classes=2).backbone
    assert (changed.dtype, changed.remat) == (jnp.bfloat16, True)


def test_another_config_is_refused(finished, capsys):
    assert pretrain.main(words(finished, optim__lr=1e-3)) == 2
    assert "another configuration" in capsys.readouterr().err


def test_a_config_without_a_crowd_is_refused(tmp_path, capsys):
    config = runs.ROOT / "configs" / "synthetic.py"
    arguments = ["--config", str(config), "--workdir", str(tmp_path / "run")]
    assert pretrain.main(arguments) == 2
    assert "configs/pretrain.py" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_shipped_backbone_is_that_of_the_shipped_configs():
    config = config_lib.load(str(CONFIG))
    path = pretrained.locate("asset:backbone")
    assert path.stat().st_size <= 5_000_000
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["changes"] == []
    assert sidecar["crowd"] == config.crowd.to_dict()
    assert sidecar["steps"] == config.train.steps * config.train.epochs
    synthetic_config = config_lib.load(str(runs.ROOT / "configs" / "synthetic.py"))
    plain = pretrain.model(synthetic_config, classes=2)
    images = jax.ShapeDtypeStruct((1, 1, 64, 32, 3), np.float32)
    made = jax.eval_shape(plain.init, jax.random.key(0), images)
    wanted = named_leaves({"backbone": made["params"]["backbone"]})
    found = pretrained.read_arrays(path)
    assert found.pop("grid").tolist() == list(build.grid(synthetic_config))
    assert {name: array.shape for name, array in found.items()} == {
        name: leaf.shape for name, leaf in wanted.items() if "mod_embed" not in name
    }
