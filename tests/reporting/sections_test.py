"""Sections say what a run left."""

from ckda_jax.files import write_json
from ckda_jax.reporting import history as history_lib
from ckda_jax.reporting import rundir, sections
from tests.reporting.fake_run import results, write_examples, write_log


def test_stages_come_from_the_config_before_there_are_results(tmp_path):
    def stages():
        return sections.stages(rundir.read(tmp_path))

    assert stages() == []
    config = {"stages": ["a", "b"], "joint": False}
    write_json(tmp_path / "config.json", config)
    assert stages() == [["a"], ["b"]]
    assert sections.stage_names(rundir.read(tmp_path)) == {0: "1 · a", 1: "2 · b"}
    write_json(tmp_path / "config.json", {**config, "joint": True})
    assert stages() == [["a", "b"]]
    write_json(tmp_path / "results.json", results())
    assert stages() == [["regdb"], ["sysu"], ["llcm"], ["vcm"]]


def test_term_table_gives_means_and_shares():
    rows = [
        {
            "stage": 0,
            "step": 4,
            "epoch": 1,
            "loss/a": 3.0,
            "loss/b": 1.0,
            "loss/c": 0.0,
        },
        {
            "stage": 1,
            "step": 4,
            "epoch": 1,
            "loss/a": 1.0,
            "loss/b": None,
            "loss/c": 3.0,
        },
    ]
    table = sections.term_table(history_lib.collect(rows))
    assert table.header == ("", "stage 1", "stage 2")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "3 · 75.0%", "1 · 25.0%"],
        ["b", "1 · 25.0%", "–"],
        ["c", "–", "3 · 75.0%"],
    ]


def test_gradient_shares_are_drawn_when_logged(tmp_path):
    write_log(tmp_path)
    run = rundir.read(tmp_path)
    title, key = "Share of each loss term in the gradient", "train.gradients_every"
    without = "".join(sections.terms(run, history_lib.collect(run.rows)))
    assert title not in without and key in without
    rows = [{**row, "gradient_share/triplet": 0.5} for row in run.rows]
    drawn = "".join(sections.terms(run, history_lib.collect(rows)))
    assert title in drawn and key not in drawn


def test_many_queries_are_cut_to_what_a_page_can_bear(tmp_path):
    write_examples(tmp_path, "sysu", seed=1, queries=46)
    shown = "".join(sections.rankings(rundir.read(tmp_path), images=False))
    assert shown.count('class="ranking"') == 45
    assert "45 of 46 queries are shown." in shown
