"""Evaluation of a checkpoint: the numbers of the run, and stages that are not there."""

import shutil

import pytest

from ckda_jax import eval as evaluation
from ckda_jax.engine.examination import evaluation_line
from tests import runs


@pytest.mark.parametrize(("words", "stage"), [([], 1), (["--stage", "1"], 0)])
def test_eval_tells_what_the_run_told(finished, capsys, words, stage):
    before = runs.listing(finished)
    assert evaluation.main(["--workdir", str(finished), *words]) == 0
    rows = [
        row
        for row in runs.results(finished)["evaluations"]
        if (row["stage"], row["epoch"]) == (stage, None)
    ]
    told = capsys.readouterr().out.splitlines()
    assert told == [evaluation_line(row) for row in rows]
    assert len(told) == 2
    assert runs.listing(finished) == before


def test_a_stage_that_is_not_finished_is_refused(finished, capsys):
    assert evaluation.main(["--workdir", str(finished), "--stage", "3"]) == 2
    said = f"error: stage 3 of {finished} is not finished; finished: 1, 2\n"
    assert capsys.readouterr().err == said


def test_a_folder_without_a_run_is_refused_and_left_alone(tmp_path, capsys):
    assert evaluation.main(["--workdir", str(tmp_path)]) == 2
    assert "is its folder that of a run?" in capsys.readouterr().err
    assert runs.listing(tmp_path) == []


def test_published_protocols_are_told_recorded_and_reported(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    before = runs.results(folder)
    words = ["--workdir", str(folder), "--protocol", "sysu/indoor-single"]
    assert evaluation.main([*words, "--protocol", "infrared-to-visible"]) == 0
    told = capsys.readouterr().out
    after = runs.results(folder)
    regdb, sysu = after["protocols"]
    assert (regdb["dataset"], regdb["protocol"]) == ("regdb", "infrared-to-visible")
    assert "trials" not in regdb
    assert (sysu["stage"], sysu["protocol"]) == (1, "indoor-single")
    assert sysu["trials"] == 10
    assert set(sysu["spread"]) == {"mAP", "mINP", "rank1", "rank5", "rank10", "rank20"}
    assert told.startswith(f"{evaluation_line(regdb)}\n{evaluation_line(sysu)}\n")
    named = "sysu indoor-single, stage 2"
    assert named in told and named in (folder / "report.html").read_text()
    assert {**after, "protocols": []} == before
    assert evaluation.main(words) == 0
    assert runs.results(folder)["protocols"] == after["protocols"]


@pytest.mark.parametrize("given", ["nan", "inf", "-1"])
def test_a_budget_that_is_no_size_is_refused(finished, capsys, given):
    assert evaluation.main(["--workdir", str(finished), f"--rerank={given}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --rerank {float(given)}: no number of GiB")


def test_reranked_scores_are_told_apart(finished, capsys):
    words = ["--workdir", str(finished), "--rerank"]
    assert evaluation.main(words) == 0
    out = capsys.readouterr().out
    assert "regdb lifelong-reranked  mAP" in out and "lifelong  mAP" not in out
    assert evaluation.main([*words, "0.001"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "may take 0." in said and "or a smaller k1 than 20" in said


def test_several_runs_are_averaged(finished, capsys):
    folders = [str(finished), str(finished)]
    assert evaluation.main(["--workdir", *folders, "--stage", "2"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == told[2:4]
    (line,) = (line for line in told if line.strip().startswith("regdb lifelong"))
    value = runs.results(finished)["evaluations"][-2]
    assert value["dataset"] == "regdb"
    assert line.split()[2:6] == ["2", f"{100 * value['rank1']:.1f}", "±", "0.0"]


def test_an_unknown_protocol_is_refused(finished, capsys):
    words = ["--workdir", str(finished), "--protocol", "llcm/lifelong"]
    assert evaluation.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no protocol 'llcm/lifelong' here; there")
    assert "sysu/all-single" in error and error.count("\n") == 1


def test_help_says_what_may_be_written(capsys):
    with pytest.raises(SystemExit):
        evaluation.main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "writes nothing, except that a synthetic world that was deleted" in told
