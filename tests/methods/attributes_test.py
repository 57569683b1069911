import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.methods.attributes import SPREAD, attributes
from tests import tiny

# Two lengths, a choice of two and one of three, for every row of the classifier.
CHOICES = (2, 3)
ROWS = tiny.STAGES * tiny.CLASSES
RNG = np.random.default_rng(0)
LENGTHS = RNG.uniform(size=(ROWS, 2))
PICKED = np.stack([RNG.integers(n, size=ROWS) for n in CHOICES], axis=1)
TABLE = np.concatenate(
    [LENGTHS, *(np.eye(n)[PICKED[:, i]] for i, n in enumerate(CHOICES))], axis=1
)


def view(found, present=(True, True)):
    batch = jax.tree.map(jnp.asarray, tiny.batch(1, present=present))
    return tiny.view(batch=batch, extra=lambda name, neck: found(batch.labels))


def truth(labels):
    """Answer right, the choices with all but certainty."""
    sure = TABLE * ([1, 1] + [50] * sum(CHOICES))
    return jnp.asarray(sure, jnp.float32)[labels]


def ignorance(labels):
    return jnp.full((*labels.shape, TABLE.shape[1]), 0.5)


def test_the_truth_costs_nothing():
    loss, metrics = attributes(TABLE, CHOICES).loss(view(truth))
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert float(metrics["accuracy"]) == 1


def test_ignorance_costs_the_entropy_of_each_choice_and_the_spread_of_the_lengths():
    seen = view(ignorance)
    loss, _ = attributes(TABLE, CHOICES).loss(seen)
    lengths = LENGTHS[np.asarray(seen.batch.labels)]
    squares = np.square(lengths - 0.5).mean() / SPREAD
    expected = math.log(2) + math.log(3) + squares
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_an_absent_modality_does_not_count():
    def wrong_in_infrared(labels):
        found = truth(labels)
        return found.at[1].set(-found[1])

    seen = view(wrong_in_infrared, present=(True, False))
    loss, _ = attributes(TABLE, CHOICES).loss(seen)
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_its_layer_reads_the_neck():
    head = attributes(TABLE, CHOICES).modules["head"]
    outputs = tiny.outputs()
    made, variables = head.module.init_with_output(
        jax.random.key(0), *head.inputs(outputs)
    )
    assert made.shape == (*outputs.neck.shape[:-1], TABLE.shape[1])
    changed = dataclasses.replace(outputs, neck=outputs.neck + 1)
    again = head.module.apply(variables, *head.inputs(changed))
    assert np.abs(np.asarray(again) - np.asarray(made)).max() > 1e-3
