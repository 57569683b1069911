from ckda_jax.data import progress
from ckda_jax.data.progress import Progress


def told(monkeypatch, capsys, times, counts) -> list[str]:
    """Tell of counts at given times; return the lines."""
    clock = iter(times)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    tell = Progress("drawing", "pictures")
    for done, total in counts:
        tell(done, total)
    return capsys.readouterr().err.splitlines()


def test_a_line_every_five_seconds_and_at_the_end(monkeypatch, capsys):
    counts = [(1, 100), (20, 100), (40, 100), (100, 100)]
    assert told(monkeypatch, capsys, [0, 1, 4, 10, 12], counts) == [
        "drawing: 40 of 100 pictures, 4 a second, 15 s left",
        "drawing: 100 of 100 pictures, 8 a second",
    ]


def test_what_was_done_before_says_nothing_of_the_pace(monkeypatch, capsys):
    counts = [(901, 1000), (920, 1000)]
    assert told(monkeypatch, capsys, [0, 1, 10], counts) == [
        "drawing: 920 of 1000 pictures, 2 a second, 40 s left",
    ]
