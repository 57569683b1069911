"""Divergence: which step is named, with what, and how many are tolerated."""

import jax.numpy as jnp
import pytest

from ckda_jax import trees
from ckda_jax.engine import lifelong
from ckda_jax.engine.checkpoint import Checkpoints, Position
from ckda_jax.engine.divergence import Divergence
from ckda_jax.structs import InputError

NAN = float("nan")


def metrics(skipped, loss=1.0, bad_leaf=-1, finite=True, **terms):
    """Make what a step tells: whether it, too, was left out, and why."""
    found = {"loss": loss, "grad_norm": loss, **{f"loss/{n}": terms[n] for n in terms}}
    told = {name: jnp.float32(value) for name, value in found.items()}
    counts = {"skipped": jnp.int32(skipped), "bad_leaf": jnp.int32(bad_leaf)}
    return told | counts | {"finite": jnp.array(finite)}


class Scene:
    """The second stage of the tiny run, its divergence and what that notes."""

    def __init__(self, assembled, snapshot, folder):
        first, self.stage = assembled.stages
        self.state, _ = lifelong.begin(assembled, self.stage, snapshot, first.info)
        self.stream = assembled.stream(self.stage)
        self.checkpoints = Checkpoints(folder)
        self.notes = []

    def watch(self, tolerated=0, skipped=0):
        """Begin to watch the stage."""
        return Divergence(
            stage=self.stage,
            tolerated=tolerated,
            state=self.state.replace(skipped=jnp.int32(skipped)),
            stream=self.stream,
            checkpoints=self.checkpoints,
            note=self.notes.append,
        )


@pytest.fixture
def scene(assembled, snapshot, tmp_path):
    """The stage, with nothing saved."""
    made = Scene(assembled, snapshot, tmp_path)
    yield made
    made.stream.close()
    made.checkpoints.close()


def test_the_latest_metrics_are_fetched(scene):
    divergence = scene.watch(skipped=2)
    for step in (1, 2):
        divergence.add(step, metrics(2, loss=step))
    assert divergence.fetch() == {"loss": 2.0, "grad_norm": 2.0, "skipped": 2.0}
    assert scene.notes == []


def test_what_is_not_finite_is_named_with_its_step_and_images(scene):
    names = list(trees.named_leaves(scene.state.params))
    divergence = scene.watch()
    divergence.add(1, metrics(0))
    divergence.add(2, metrics(1, NAN, 3, identity=NAN, triplet=0.5))
    divergence.add(3, metrics(1))
    with pytest.raises(InputError) as raised:
        divergence.fetch()
    said, *images = str(raised.value).split("\n  ")
    assert said.startswith(
        "sysu: the loss is nan at step 2 (not finite: loss/identity; first in the "
        f"gradient: {names[3]}); lower config.optim.lr or limit"
    )
    assert "(now 0). Nothing of it is saved; nothing of the run was." in said
    drawn = [next(scene.stream) for _ in range(2)][1].example.reshape(-1)
    assert images == scene.stage.records.paths[drawn].tolist()


def test_the_newest_checkpoint_is_named(scene):
    params = scene.state.params
    memory = {"none": None, "mask": jnp.ones(2)}
    scene.checkpoints.save_stage(0, {"params": params}, memory)
    for said in ("the end of stage 1 is kept", "step 3 of stage 2 (sysu) is kept"):
        divergence = scene.watch()
        divergence.add(4, metrics(1, NAN))
        with pytest.raises(InputError) as raised:
            divergence.fetch()
        assert f"; {said}. Its images" in str(raised.value)
        state = scene.state
        scene.checkpoints.save_step(Position(1, 3), state, scene.stream.get_state())


def test_as_many_as_are_tolerated_are_noted_and_one_more_ends(scene):
    divergence = scene.watch(tolerated=2, skipped=1)
    divergence.add(1, metrics(2, loss=3.0))
    divergence.add(2, metrics(2))
    assert divergence.fetch()["loss"] == 1
    assert scene.notes == [
        "warning: sysu: the loss is 3 at step 1 (not finite: statistics); "
        "the step is left out (2 of 2 tolerated)"
    ]
    divergence.add(3, metrics(3, NAN))
    with pytest.raises(InputError, match=r"at step 3.*\(now 2\)"):
        divergence.fetch()


def test_weights_that_are_not_finite_are_never_tolerated(scene):
    divergence = scene.watch(tolerated=5)
    divergence.add(1, metrics(0, loss=3.0, finite=False))
    divergence.add(2, metrics(1, NAN, finite=False))
    with pytest.raises(InputError, match="at step 1 .not finite: the weights it gives"):
        divergence.fetch()
