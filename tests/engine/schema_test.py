"""The schema of `results.json`: what one changed name or value does."""

import json
import re

import pytest

from ckda_jax.engine import schema
from tests.engine.results_test import content, row


def results():
    """Write results of one evaluation, by `train` and by `eval`."""
    scored = row(0, "a", 0.5) | {"rank5": None, "queries": 3, "gallery": 4}
    scored |= {"trials": 10, "spread": {"mAP": 0.1}}
    return content(stages=[["a"]], datasets=["a"]) | {
        "evaluations": [row(-1, "a", 0.25), scored],
        "protocols": [row(0, "a", 0.75, protocol="q")],
    }


def test_sound_results_have_no_fault():
    assert schema.fault(results()) == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"protocols"', '"protocolt"', "protocols is missing or not list"),
        ('"evaluations"', '"evaluation"', "evaluations is missing or not list"),
        ('"seed": 0', '"seed": null', "seed is missing or not int"),
        ('"summary"', '"more": 1, "summary"', "unknown name 'more'"),
        ('[["a"]]', "[[1]]", "stages or datasets are no lists of names"),
        ('[["a"]]', "[7]", "stages or datasets are no lists of names"),
        ('"stage": 0', '"stagd": 0', "row 2 of evaluations: there is no stage None"),
        ('"stage": 0', '"stage": 7', "row 2 of evaluations: there is no stage 7"),
        ('"stage": 0', '"stage": "0"', "row 2 of evaluations: there is no stage '0'"),
        ('"epoch": null', '"epoci": null', "row 1 of evaluations: there is no epoch"),
        ('"dataset": "a"', '"dataset": "b"', "row 1 of .*: there is no dataset 'b'"),
        ('"dataset": "a"', '"dataset": []', "row 1 of evaluations: dataset is not str"),
        ('"protocol": "q"', '"protocom": "q"', "row 1 of protocols: no protocol"),
        ('"mAP": 0.5', '"mAR": 0.5', "row 2 of evaluations: no mAP"),
        ('"mAP": 0.5', '"mAP": "0.5"', "row 2 of evaluations: mAP is no number"),
    ],
)
def test_a_damaged_name_or_value_is_told(old, new, said):
    text = json.dumps(results())
    assert old in text
    damaged = json.loads(text.replace(old, new, 1))
    assert re.search(said, schema.fault(damaged))


def test_a_row_that_is_none_is_told():
    damaged = results() | {"protocols": [None]}
    assert schema.fault(damaged) == "row 1 of protocols: no JSON object"
