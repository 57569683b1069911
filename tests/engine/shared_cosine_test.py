"""Distances to a gallery of which every process holds a part."""

import numpy as np

from ckda_jax.engine.shared_cosine import SharedCosine
from ckda_jax.retrieval.distances import Cosine
from ckda_jax.retrieval.metrics import evaluate
from ckda_jax.retrieval.plan import Part, Plan
from ckda_jax.retrieval.protocols import RULES
from tests.engine.peers_test import COUNT, among


def unit(rows, seed):
    drawn = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


QUERY, GALLERY = unit(5, 0), unit(9, 1)
PLACES = np.array([8, 0, 1, 5, 2, 2, 7])
"""Gallery images of a trial, in its order."""


def shared(peers):
    """Compare a process's own queries with the trial's gallery."""
    own = peers.part(len(QUERY))
    return SharedCosine(
        peers=peers,
        queries=len(QUERY),
        first=own.start,
        query=QUERY[own],
        gallery=GALLERY[peers.part(len(GALLERY))],
        length=len(GALLERY),
        places=PLACES,
    )


def test_blocks_are_those_of_one_process():
    whole = Cosine(QUERY, GALLERY[PLACES])
    blocks = among(lambda peers: shared(peers)[peers.part(len(QUERY))])
    assert shared(among(lambda peers: peers)[0]).shape == whole.shape == (5, 7)
    np.testing.assert_allclose(np.concatenate(blocks), whole[:], atol=1e-6)


def test_scores_are_those_of_one_process():
    people = np.array([1, 2, 3, 1, 9])  # the last one is nowhere
    cameras = np.array([0, 1, 0, 1, 0])
    there = np.array([1, 2, 3, 1, 2, 2, 3]), np.array([1, 1, 1, 0, 0, 0, 0])
    truth = people, cameras, *there, RULES["sysu"]
    wanted = evaluate(Cosine(QUERY, GALLERY[PLACES]), *truth)
    joined = {}

    def score(peers):
        def join(array):
            # In the order of the processes, as `Peers.join` does.
            joined[peers.index] = array
            peers.meeting.wait()
            whole = np.concatenate([joined[index] for index in range(COUNT)])
            peers.meeting.wait()
            return whole

        own, longest = peers.part(len(people)), peers.longest(len(people))
        part = Part(own=own, longest=longest, join=join)
        # A budget of one query at a time: every process ranks in several rounds.
        plan = Plan(part=part, workers=1, budget=2 * (7 * 80 + 64 * 3))
        return evaluate(shared(peers), *truth, plan)

    for found in among(score):
        assert (found.mAP, found.mINP) == (wanted.mAP, wanted.mINP)
        assert found.valid == wanted.valid == 4
        np.testing.assert_array_equal(found.cmc, wanted.cmc)
