"""Results: what was evaluated, on disk at any moment."""

import json
import math

import pytest

from ckda_jax.engine import results
from ckda_jax.engine.results import Results, empty, read, record, summarise
from ckda_jax.structs import InputError


def content(**changes):
    """Start results of two stages."""
    given = {
        "method": "ckda",
        "preset": "ckda",
        "seed": 0,
        "stages": [["a"], ["b"]],
        "datasets": ["a", "b"],
    }
    return empty(**(given | changes))


def row(stage, dataset, value, epoch=None, protocol="p"):
    """Write an evaluation whose metrics are all one value."""
    scores = dict.fromkeys(("mAP", "rank1", "mINP"), value)
    where = {"stage": stage, "epoch": epoch, "dataset": dataset, "protocol": protocol}
    return {**where, "seen": True, **scores}


def test_add_writes_the_file_each_time(tmp_path):
    path = tmp_path / "results.json"
    results = Results.open(path, content(), writes=True)
    assert not path.exists()
    results.add(row(0, "a", 0.5))
    assert read(path) == results.content
    results.add(row(0, "b", 0.25))
    again = Results.open(path, content(seed=9), writes=True)
    assert again.content == results.content
    assert again.content["seed"] == 0


def test_has_tells_apart_what_was_evaluated(tmp_path):
    results = Results.open(tmp_path / "results.json", content(), writes=False)
    results.add(row(0, "a", 0.5, epoch=1))
    where = {"stage": 0, "dataset": "a", "protocol": "p"}
    assert results.has(**where, epoch=1)
    assert not results.has(**where, epoch=None)
    assert not results.has(**{**where, "dataset": "b"}, epoch=1)


def test_the_mean_is_over_seen_datasets_each_with_its_first_protocol(tmp_path):
    results = Results.open(tmp_path / "results.json", content(), writes=False)
    assert math.isnan(results.mean(0, 1))
    results.add(row(0, "a", 0.5, epoch=1))
    results.add(row(0, "a", 0.9, epoch=1, protocol="q"))
    results.add(row(0, "b", 0.1, epoch=1) | {"seen": False})
    results.add(row(0, "b", 0.1, epoch=2))
    assert results.mean(0, 1) == 0.5
    results.add(row(0, "c", 0.25, epoch=1))
    assert results.mean(0, 1, "rank1") == 0.375
    results.add(row(0, "d", None, epoch=1))  # as a number that is none is read back
    assert math.isnan(results.mean(0, 1))


def test_what_was_evaluated_after_a_position_is_dropped(tmp_path):
    path = tmp_path / "results.json"
    results = Results.open(path, content(), writes=True)
    rows = [row(-1, "a", 0.1), row(0, "a", 0.5, epoch=2), row(0, "a", 0.5)]
    rows += [row(1, "a", 0.4, epoch=1), row(1, "a", 0.4, epoch=2), row(1, "a", 0.3)]
    for one in rows:
        results.add(one)
    record(path, [row(0, "a", 0.5, protocol="q"), row(1, "a", 0.3, protocol="q")])
    results.cut_back(1)
    assert len(read(path)["protocols"]) == 2
    for place, kept in [((1,), 6), ((1, 2), 5), ((1, 1), 4), ((0,), 3), ((-1,), 1)]:
        results.cut_back(*place)
        assert read(path)["evaluations"] == rows[:kept]
        recorded = {1: [], 6: [0, 1]}.get(kept, [0])
        assert [one["stage"] for one in read(path)["protocols"]] == recorded
    assert read(path)["summary"]["mAP"]["seen_average"] == []


def test_nothing_is_written_where_nothing_is_dropped(tmp_path):
    Results.open(tmp_path / "results.json", content(), writes=True).cut_back(-1)
    assert list(tmp_path.iterdir()) == []


def test_the_main_process_alone_reads_what_an_earlier_run_left(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    Results.open(path, content(), writes=True).add(row(0, "a", 0.5))
    monkeypatch.setattr(results, "of_main", lambda question: None)  # of another one
    opened = Results.open(path, content(), writes=False)
    assert not opened.has(stage=0)


def test_only_the_main_process_writes(tmp_path):
    results = Results.open(tmp_path / "results.json", content(), writes=False)
    results.add(row(0, "a", 0.5))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, '{"format": 2}', '{"format": 1}']
)
def test_a_damaged_file_is_refused(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match="results.json: "):
        Results.open(path, content(), writes=True)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"mAP": 0.5', '"mAP": 0.4', "it has another SHA-256"),
        ('"seed": 0', '"seed": 1', "it has another SHA-256"),
        ('"protocols"', '"protocolt"', "protocols is missing or not list"),
        ('"sha256"', '"sha257"', "unknown name 'sha257'"),
    ],
)
def test_a_changed_character_is_refused(tmp_path, old, new, said):
    path = tmp_path / "results.json"
    Results.open(path, content(), writes=True).add(row(0, "a", 0.5))
    record(path, [row(0, "a", 0.25, protocol="q")])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=f"damaged, {said}; restore it"):
        read(path)


def test_results_of_older_versions_have_no_seal(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content()))
    assert read(path) == content()


def test_a_missing_file_is_refused_when_asked_for(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "results.json")


def test_summarise_is_that_of_a_table_written_by_hand():
    rows = [row(-1, "a", 0.1), row(-1, "b", 0.2)]
    rows += [row(0, "a", 0.8), row(0, "b", 0.3), row(0, "a", 0.99, epoch=1)]
    rows += [row(1, "a", 0.6), row(1, "b", 0.7)]
    found = summarise(content() | {"evaluations": rows}, "mAP")
    assert found["seen_average"] == pytest.approx([0.8, 0.65])
    assert found["forgetting"] == [None, pytest.approx(0.2)]
    assert found["backward_transfer"] == pytest.approx(-0.2)
    assert found["forward_transfer"] == pytest.approx(0.1)


def test_summarise_takes_the_first_protocol_and_the_stages_done():
    rows = [row(0, "a", 0.8), row(0, "a", 0.1, protocol="q")]
    rows += [row(1, "a", 0.4, epoch=1)]
    found = summarise(content() | {"evaluations": rows}, "rank1")
    assert found["seen_average"] == [0.8]
