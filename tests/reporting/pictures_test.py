"""Pictures hold the numbers they are drawn from."""

import html
import re

import numpy as np
import pytest

from ckda_jax.reporting import history as history_lib
from ckda_jax.reporting import pictures, scores
from tests.reporting.fake_run import TERMS, results, write_log

TITLES = {stage: f"{stage + 1} · x" for stage in range(4)}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    from ckda_jax.reporting.writer import read_rows

    workdir = tmp_path_factory.mktemp("run")
    write_log(workdir)
    return read_rows(workdir / "metrics.jsonl")


def texts(svg):
    return [
        html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    ]


def test_heat_map_writes_every_score():
    grid = scores.grid(results())
    written = texts(pictures.heat_maps(results()))
    for metric in ("mAP", "rank1"):
        for value in grid.values[metric].ravel():
            assert f"{100 * value:.1f}" in written
    assert "after stage 4 (vcm)" in written and "start" in written


def test_heat_map_hatches_the_unseen():
    svg = pictures.heat_maps(results(), ("mAP",))
    # 4 at the start, then 3, 2, 1, 0.
    assert svg.count("url(#h") == 10


def test_heat_map_with_gaps():
    run = results()
    run["evaluations"] = [r for r in run["evaluations"] if r["seen"]]
    assert texts(pictures.heat_maps(run, ("mAP",))).count("–") == 6


def test_score_curves_name_every_line():
    written = texts(pictures.score_curves(results(), epochs=10))
    for name in ("regdb", "sysu", "llcm", "vcm", "seen average", "rank-1 in percent"):
        assert name in written


def test_loss_terms_name_every_term_and_stage(log):
    written = texts(pictures.loss_terms(history_lib.collect(log), TITLES))
    assert set(TERMS) | set(TITLES.values()) <= set(written)


def test_dollars_in_a_name_are_no_mathematics(log):
    rows = [{**row, "loss/a$_b$": 1.0} for row in log]
    written = texts(pictures.loss_terms(history_lib.collect(rows), {0: "$\\x$"}))
    assert {"a$_b$", "$\\x$", "0.01"} <= set(written)


def test_loss_terms_of_nothing_but_zeros(log):
    rows = [{**row, "loss/identity": 0.0} for row in log[:10]]
    for row in rows:
        for name in list(row):
            if name.startswith("loss/"):
                row[name] = 0.0
    written = texts(pictures.loss_terms(history_lib.collect(rows), TITLES))
    assert "identity" in written


def test_gradient_shares_take_the_colour_of_their_term(log):
    rows = [{**row, "gradient_share/triplet": 0.25} for row in log]
    svg = pictures.gradient_shares(history_lib.collect(rows), TITLES)
    assert "triplet" in texts(svg)
    assert f"stroke: {pictures.colour(1)}" in svg


def points(svg, colour):
    """Count the points of the lines of a colour, legend aside, line by line."""
    drawn = re.findall(r'<path d="([^"]*)"[^>]*style="fill: none; ([^"]*)', svg)
    own = [path for path, style in drawn if f"stroke: {colour}" in style]
    return [path.count("L") + 1 for path in own][:-1]


def test_gradient_shares_are_joined_over_the_steps_between(log):
    rows = [
        {**row, "gradient_share/triplet": 0.25} if place % 4 == 0 else row
        for place, row in enumerate(log)
    ]
    svg = pictures.gradient_shares(history_lib.collect(rows), TITLES)
    assert len(log) == 4 * 40
    assert points(svg, pictures.colour(1)) == [10] * 4


def test_training_draws_what_was_logged(log):
    written = texts(pictures.training(history_lib.collect(log), TITLES) or "")
    for name in ("loss", "learning rate", "gradient norm", "images per second"):
        assert name in written
    assert "0.0003" in written
    rows = [{"stage": 0, "step": 1, "epoch": 1, "lr": 0.1}]
    assert texts(pictures.training(history_lib.collect(rows), {}) or "")
    assert pictures.training(history_lib.collect([]), {}) is None


def test_long_runs_stay_small():
    rows = [
        {"stage": 0, "step": step, "epoch": 1, "loss/identity": 1 + np.sin(step)}
        for step in range(1, 20001)
    ]
    svg = pictures.loss_terms(history_lib.collect(rows), TITLES)
    assert len(svg) < 60_000


def test_more_lines_than_colours_change_dashes():
    lines = {(pictures.colour(place), pictures.dash(place)) for place in range(32)}
    assert len(lines) == 32
