"""A short lifelong run on the tiny model, with all it went through kept."""

import dataclasses
from typing import Any

import chex
import jax

from ckda_jax import keys
from ckda_jax.engine.state import Frozen, TrainState, copy
from ckda_jax.engine.step import Learner, init_extra, make_step
from tests import tiny

STEPS = 2


@dataclasses.dataclass
class Course:
    """Three stages of two steps: what each began and ended with.

    Attributes:
        learner: what learned.
        traces: calls of the uncompiled step.
        metrics: of every step, stage by stage.
        begun: state and frozen trees as a stage began; states as copies.
        teachers: the teacher after the stage's steps.
        ended: state, merged variables and memory at a stage's end.
    """

    learner: Learner
    traces: int = 0
    metrics: list[list[Any]] = dataclasses.field(default_factory=list)
    begun: list[tuple[TrainState, Frozen]] = dataclasses.field(default_factory=list)
    teachers: list[Any] = dataclasses.field(default_factory=list)
    ended: list[tuple[TrainState, Any, Any]] = dataclasses.field(default_factory=list)


def start(learner: Learner) -> Any:
    """Draw a model's variables and initialise the method's own modules."""
    made = tiny.variables(learner.model)
    modules = learner.method.modules
    if modules:
        extra = init_extra(modules, jax.random.key(1), tiny.outputs())
        made = {**made, "params": {**made["params"], "extra": extra}}
    return made


def run(learner: Learner) -> Course:
    """Learn three stages as the loop does, with a step that counts its traces."""
    course, plain = Course(learner), make_step(learner)
    chex.clear_trace_counter()  # counts by name, and every run has its `counted`

    @chex.assert_max_traces(n=2)
    def counted(state: TrainState, frozen: Frozen, batch: Any) -> Any:
        course.traces += 1
        return plain(state, frozen, batch)

    step = tiny.quick(counted, donate_argnums=0)
    made = start(learner)
    memory, teacher = learner.method.init(jax.random.key(2), made), None
    for index in range(tiny.STAGES):
        info = tiny.stage(index)
        key = keys.at_stage(jax.random.key(0), index)
        memory, made = learner.method.begin(memory, made, info, key)
        state = tiny.state(learner, made)
        frozen = Frozen(teacher=teacher, memory=memory, stage=info)
        course.begun.append((copy(state), copy(frozen)))
        metrics = []
        for seed in range(STEPS):
            state, found = step(state, frozen, tiny.batch(index, seed=seed))
            metrics.append(jax.device_get(found))
        course.metrics.append(metrics)
        course.teachers.append(copy(frozen.teacher))
        end = tiny.stage_end(state.variables, index)
        made = learner.method.merge(state.variables, teacher, end)
        memory = learner.method.consolidate(memory, end)
        course.ended.append((state, made, memory))
        teacher = copy(made)
    return course
