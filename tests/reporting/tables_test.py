"""The tables say what the results say, in every dress."""

import io
import math

from rich.console import Console

from ckda_jax.reporting import tables
from tests.reporting.fake_run import evaluation, results


def small():
    """Two stages, two datasets, numbers that can be checked by eye."""
    scores = {(-1, 0): 0.1, (-1, 1): 0.12, (0, 0): 0.6, (0, 1): 0.2}
    scores |= {(1, 0): 0.5, (1, 1): 0.4}
    rows = [evaluation(*position, score) for position, score in scores.items()]
    for row in rows:
        row["rank1"], row["mINP"] = 0.5, 0.25
    average = {"seen_average": [0.6, 0.45], "forgetting": [None, 0.1]}
    transfer = {"backward_transfer": -0.1, "forward_transfer": 0.08}
    return {
        "format": 1,
        "preset": "ckda",
        "seed": 0,
        "stages": [["regdb"], ["sysu"]],
        "datasets": ["regdb", "sysu"],
        "evaluations": rows,
        "summary": {"mAP": average | transfer},
    }


def cells(table):
    """Write out the cells of a table, row by row."""
    return [[str(cell) for cell in row] for row in table.rows]


def test_tables_are_exact():
    scores, memory = tables.result_tables(small())
    assert scores.header == ("", "regdb", "sysu", "seen average")
    assert cells(scores) == [
        ["start", "(10.0 / 50.0)", "(12.0 / 50.0)", "–"],
        ["after stage 1 (regdb)", "60.0 / 50.0", "(20.0 / 50.0)", "60.0 / –"],
        ["after stage 2 (sysu)", "50.0 / 50.0", "40.0 / 50.0", "45.0 / –"],
    ]
    assert scores.title == "mAP / rank-1 in percent"
    assert scores.caption == "in brackets: not trained on yet"
    assert memory.header == ("", "regdb", "sysu", "seen average", "forgetting")
    assert cells(memory) == [
        ["start", "(25.0)", "(25.0)", "–", "–"],
        ["after stage 1 (regdb)", "25.0", "(25.0)", "–", "–"],
        ["after stage 2 (sysu)", "25.0", "25.0", "–", "10.0 / –"],
    ]
    assert memory.title == "mINP, and forgetting (mAP / rank-1), in percent"
    assert memory.caption == (
        "backward transfer: mAP −10.0, rank-1 –, mINP –; "
        "forward transfer: mAP +8.0, rank-1 –, mINP –"
    )


def test_published_protocols_are_shown_with_their_spread():
    scores = {"rank1": 0.5, "rank10": 0.8, "rank20": 0.9, "mAP": 0.4, "mINP": 0.25}
    row = {"stage": 1, "dataset": "sysu", "protocol": "all-single", **scores}
    row |= {"queries": 3803, "gallery": 301}
    spread = {"trials": 10, "spread": dict.fromkeys(scores, 0.012)}
    table = tables.protocol_table([row, {**row, **spread, "stage": -1}])
    assert table.header[1:6] == ("rank-1", "rank-10", "rank-20", "mAP", "mINP")
    single, ten = cells(table)
    assert single[:2] == ["sysu all-single, stage 2", "50.0"]
    assert single[4:] == ["40.0", "25.0", "3803 / 301", "1"]
    assert ten[:2] == ["sysu all-single, start", "50.0 ± 1.2"]
    assert ten[5:] == ["25.0 ± 1.2", "3803 / 301", "10"]
    over = tables.run_table([[row], [{**row, "rank1": 0.7}]])
    assert cells(over)[0][:3] == ["sysu all-single", "2", "60.0 ± 14.1"]


def test_screen_shows_the_same_numbers_in_plain_text():
    out = io.StringIO()
    tables.print_results(small(), Console(file=out, width=40))
    lines = out.getvalue().splitlines()
    (start,) = [line for line in lines if "start" in line and "10.0 /" in line]
    assert start.split() == ["start", "(10.0", "/", "50.0)", "(12.0", "/", "50.0)", "–"]
    # Columns stay in one piece however narrow the log is.
    assert any("after stage 2 (sysu)" in line and "45.0 / –" in line for line in lines)
    assert "\x1b" not in out.getvalue()
    assert "backward transfer: mAP −10.0" in out.getvalue()


def test_screen_dims_the_unseen_on_a_terminal():
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system="standard")
    tables.print_results(small(), console)
    assert "\x1b[2m(10.0 / 50.0)\x1b[0m" in out.getvalue()


def test_names_are_text_not_markup():
    run = small()
    run["datasets"] = ["[red]x", "sysu"]
    for row in run["evaluations"]:
        row["dataset"] = row["dataset"].replace("regdb", "[red]x")
    out = io.StringIO()
    tables.print_results(run, Console(file=out, width=120))
    assert "[red]x" in out.getvalue()


def test_seeds_are_averaged_by_preset():
    runs = [small(), small()]
    runs[1]["evaluations"][4]["mAP"] = 0.54
    runs[1]["summary"]["mAP"]["forgetting"] = [None, 0.06]
    runs.append({**small(), "preset": "finetune"})
    header, _, start, ckda, finetune = tables.markdown_seeds(runs).splitlines()[:5]
    titles = [cell.strip() for cell in header.strip("|").split("|")]
    assert titles[:4] == ["preset", "seeds", "regdb mAP", "sysu mAP"]

    def row(line):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        return dict(zip(titles, cells, strict=True))

    assert row(ckda)["seeds"] == "2"
    # Sample deviation of 50 and 54: sqrt(8).
    assert row(ckda)["regdb mAP"] == f"52.0 ± {math.sqrt(8):.1f}"
    assert row(ckda)["forgetting"] == f"8.0 ± {math.sqrt(8):.1f}"
    assert row(ckda)["average mAP"] == "45.0 ± 0.0"
    assert row(ckda)["backward transfer"] == "−10.0 ± 0.0"
    assert row(ckda)["average mINP"] == "–"
    assert row(finetune)["regdb mAP"] == "50.0"
    assert row(start)["average mAP"] == "11.0 ± 0.0"
    assert row(start)["forgetting"] == "–"


def test_joint_run_has_no_forgetting_and_no_start_row():
    run = small()
    run["stages"] = [["regdb", "sysu"]]
    run["evaluations"] = [r for r in run["evaluations"] if r["stage"] == 0]
    run["summary"] = {"mAP": {"seen_average": [0.4], "forgetting": [None]}}
    last = tables.markdown_seeds([run]).splitlines()[2]
    assert last == "| ckda | 1 | 60.0 | 20.0 | 40.0 | – | – | – | – |"


def test_nothing_gives_empty_tables():
    assert [cells(table) for table in tables.result_tables({})] == [[], []]
    assert "preset" in tables.markdown_seeds([])
    tables.print_results({}, Console(file=io.StringIO()))


def test_fake_run_fills_every_cell_that_can_be():
    found = [cells(table) for table in tables.result_tables(results())]
    assert str(found).count("–") == 4
