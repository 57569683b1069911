"""Examination: what is due when, and how scores are told."""

import dataclasses

from ckda_jax.engine import examination
from ckda_jax.engine.examination import due, evaluation_line
from ckda_jax.engine.results import START
from tests import runs


def names_due(run, at):
    """List the datasets due after a stage, and whether they are learned."""
    return {dataset.name: seen for dataset, seen in due(run, at)}


def test_what_is_due_grows_with_the_stages(assembled):
    nothing = {"regdb": False, "sysu": False, "llcm": False}
    assert names_due(assembled, START) == nothing
    assert names_due(assembled, 0) == nothing | {"regdb": True}
    assert names_due(assembled, 1) == {"regdb": True, "sysu": True, "llcm": False}


def test_datasets_learned_later_may_be_left_out(assembled):
    run = dataclasses.replace(assembled, evaluate_unseen=False)
    assert names_due(run, START).keys() == {"regdb", "sysu", "llcm"}
    assert names_due(run, 0) == {"regdb": True, "llcm": False}
    assert names_due(run, 1) == {"regdb": True, "sysu": True, "llcm": False}


def test_datasets_learned_before_count_as_learned(assembled):
    run = dataclasses.replace(assembled, learned_before=frozenset({"llcm"}))
    assert names_due(run, 0) == {"regdb": True, "sysu": False, "llcm": True}


def test_what_is_in_the_results_is_not_evaluated_again(assembled, snapshot, desk):
    before = len(desk.results.content["evaluations"])
    examination.evaluate(assembled, desk, snapshot)
    rows = desk.results.content["evaluations"]
    assert [row["dataset"] for row in rows[before:]] == ["llcm"]
    examination.evaluate(assembled, desk, snapshot)
    assert len(desk.results.content["evaluations"]) == before + 1


def test_what_is_missing_is_what_the_main_process_finds(assembled, desk, monkeypatch):
    regdb = assembled.datasets[0]
    assert examination.missing(desk.results, regdb, 1) == []
    assert examination.missing(desk.results, regdb, 1, 2) == ["lifelong"]
    # As another process hears it, whose own results may be older.
    monkeypatch.setattr(examination, "of_main", lambda question: ["lifelong"])
    assert examination.missing(desk.results, regdb, 1) == ["lifelong"]
    assert not examination.is_evaluated(assembled, desk, 1)
    monkeypatch.setattr(examination, "of_main", lambda question: [])
    assert examination.missing(desk.results, regdb, 1, 2) == []


def test_scores_are_those_of_the_run(assembled, snapshot):
    warnings = []
    rows = list(examination.scores(assembled, snapshot, warnings.append))
    assert [row["dataset"] for row in rows] == ["regdb", "sysu", "llcm"]
    # A model of four steps knows nothing; of what it has not learned nothing is said.
    assert all(said.startswith("warning: ") for said in warnings)
    assert not [said for said in warnings if said.startswith("warning: llcm")]
    found = runs.scores(rows[:2])
    wanted = runs.scores(runs.results(assembled.workdir)["evaluations"])
    assert found == {place: wanted[place] for place in found}


def test_evaluation_line_is_in_percent():
    row = {"stage": 1, "epoch": None, "dataset": "a", "protocol": "p", "seen": False}
    row |= {"mAP": 0.1234, "rank1": 1.0, "mINP": 0.0}
    line = "after stage 2  a p  mAP 12.3  rank-1 100.0  mINP 0.0"
    assert evaluation_line(row) == line + "  (not learned yet)"
    assert evaluation_line({**row, "seen": True}) == line
    assert evaluation_line({**row, "epoch": 3}).startswith("stage 2 epoch 3  a p")
    assert evaluation_line({**row, "stage": START}).startswith("start  a p")
