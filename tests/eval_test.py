"""Evaluation of a checkpoint: the numbers of the run, and stages that are not there."""

import pytest

from ckda_jax import eval as evaluation
from ckda_jax.engine.lifelong import evaluation_line
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


def test_help_says_what_may_be_written(capsys):
    with pytest.raises(SystemExit):
        evaluation.main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Writes nothing, except that a synthetic world that was deleted" in told
