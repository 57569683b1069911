"""Rankings: their scores, and the lists that the report shows."""

import dataclasses

import numpy as np
import pytest

from ckda_jax.data.dataset import Names
from ckda_jax.data.protocol import Protocol, Trial
from ckda_jax.engine.ranking import Ranking
from ckda_jax.retrieval import metrics
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.retrieval.rerank import rerank
from ckda_jax.structs import InputError, Records


def table(identity, camera, modality):
    """Make a table of images that nobody opens."""
    n = len(identity)
    return Records(
        paths=np.array([f"/data/{modality}/{i}.jpg" for i in range(n)]),
        identity=np.array(identity, np.int64),
        modality=np.full(n, modality, np.int8),
        camera=np.array(camera, np.int32),
        tracklet=np.full(n, -1, np.int32),
    )


@pytest.fixture
def ranking():
    """Three queries and a gallery of four; SYSU's camera 2 stands beside camera 3."""
    protocol = Protocol(
        name="p",
        query=table([5, 6, 7], [3, 3, 6], 1),
        gallery=table([5, 6, 7, 5], [1, 1, 2, 2], 0),
        rule="sysu",
    )
    distances = np.array(
        [[0.3, 0.2, 0.1, 0.0], [0.1, 0.4, 0.3, 0.2], [0.9, 0.7, 0.6, 0.8]]
    )
    return Ranking(protocol=protocol, query=np.eye(3), gallery=-distances.T)


def first_distances(ranking):
    """Compare the queries and the gallery of the first trial."""
    return ranking.distances(ranking.protocol.each_trial()[0])[:]


def test_scores_are_those_of_the_metrics(ranking):
    scores = ranking.scores()
    query, gallery = ranking.protocol.query, ranking.protocol.gallery
    wanted = metrics.evaluate(
        first_distances(ranking),
        query.identity,
        query.camera,
        gallery.identity,
        gallery.camera,
        RULES["sysu"],
    )
    assert (scores["mAP"], scores["mINP"]) == (wanted.mAP, wanted.mINP)
    assert (scores["queries"], scores["gallery"]) == (3, 4)
    assert scores["rank1"] == wanted.cmc[0] == pytest.approx(1 / 3)
    assert scores["rank5"] == 1.0


def test_trials_are_averaged_with_their_spread(ranking):
    whole = np.arange(3)
    trials = (Trial(whole, np.array([0, 1, 2])), Trial(whole, np.array([3, 1, 2])))
    several = dataclasses.replace(ranking.protocol, trials=trials)
    single = [
        dataclasses.replace(
            ranking, protocol=dataclasses.replace(several, trials=(trial,))
        ).scores()
        for trial in trials
    ]
    scores = dataclasses.replace(ranking, protocol=several).scores()
    maps = [row["mAP"] for row in single]
    # The second trial's only image of person 5 stands where the query's camera does.
    assert maps[0] != maps[1]
    assert [row["queries"] for row in single] == [3, 2]
    assert scores["trials"] == 2 and scores["gallery"] == 3
    assert scores["mAP"] == pytest.approx(np.mean(maps))
    assert scores["spread"]["mAP"] == pytest.approx(np.std(maps, ddof=1))
    assert "trials" not in single[0]


def test_scores_at_chance_are_doubted(ranking):
    scores = ranking.scores()
    said = ranking.warning(scores)
    assert said is not None and "not clearly above chance" in said
    assert "wrong modality" in said
    assert ranking.warning({"mAP": 5.0}) is None


def test_a_gallery_may_be_reranked_in_memory_enough(ranking):
    other = dataclasses.replace(ranking, rerank_bytes=2**30)
    (trial,) = other.protocol.each_trial()
    assert (ranking.name, other.name) == ("p", "p-reranked")
    wanted = rerank(other.query, other.gallery)[:]
    np.testing.assert_array_equal(other.distances(trial)[:], wanted)
    assert np.abs(wanted - first_distances(ranking)).max() > 0.1
    with pytest.raises(InputError, match="re-ranking 3 queries and a gallery of 4 may"):
        dataclasses.replace(ranking, rerank_bytes=100).scores()


def test_lists_show_the_first_trial(ranking):
    trials = (
        Trial(np.array([1]), np.array([2, 1])),
        Trial(np.array([0]), np.arange(4)),
    )
    several = dataclasses.replace(ranking.protocol, trials=trials)
    (only,) = dataclasses.replace(ranking, protocol=several).lists(4)
    assert only["query"]["identity"] == 6
    assert [entry["identity"] for entry in only["gallery"]] == [6]


def test_lists_are_ranked_marked_and_without_what_the_protocol_removes(ranking):
    first, second = ranking.lists(2, length=2)
    assert first["query"] == {
        "path": "/data/1/0.jpg",
        "identity": 5,
        "camera": 3,
        "modality": "infrared",
    }
    # The two nearest, from camera 2, are removed for a query from camera 3.
    shown = [
        (e["path"], round(e["distance"], 6), e["correct"]) for e in first["gallery"]
    ]
    assert shown == [("/data/0/1.jpg", 0.2, False), ("/data/0/0.jpg", 0.3, True)]
    assert second["query"]["identity"] == 7
    assert second["gallery"][0]["correct"]


def test_lists_name_who_was_seen_by_what(ranking):
    names = Names(
        identities=tuple("abcdefgh"),
        cameras=("c0", "c1", "c2", "c3", "c4", "c5", "c6"),
        modalities=("day", "night"),
    )
    protocol = ranking.protocol
    unknown = dataclasses.replace(protocol.query, camera=np.array([-1, 3, 6], np.int32))
    protocol = dataclasses.replace(protocol, query=unknown)
    first, _, third = dataclasses.replace(ranking, protocol=protocol).lists(3, names)
    assert first["query"] == {
        "path": "/data/1/0.jpg",
        "identity": "f",
        "camera": None,
        "modality": "night",
    }
    assert third["query"]["camera"] == "c6"
    assert {entry["modality"] for entry in third["gallery"]} == {"day"}


def test_lists_of_more_queries_than_there_are_repeat_none(ranking):
    found = [entry["query"]["identity"] for entry in ranking.lists(10)]
    assert found == [5, 6, 7]
