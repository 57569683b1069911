"""The command line of an entry point."""

import argparse
import os
import signal
import subprocess
import sys

import pytest

from ckda_jax.config.command import add_arguments, main_guard, parse, resolve
from ckda_jax.structs import InputError


@pytest.fixture
def parser():
    """An entry point's parser."""
    made = argparse.ArgumentParser(prog="train")
    add_arguments(made)
    made.add_argument("--workdir", default="runs")
    return made


def test_parse_gives_own_arguments_and_configuration(folder, parser):
    words = ["--config.seed=3", "--config", f"{folder}/small.py:joint"]
    args, config = parse(parser, [*words, "--workdir", "w", "--config.optim.lr", "1"])
    assert args.workdir == "w"
    assert (config.seed, config.optim.lr, config.preset) == (3, 1.0, "joint")


def test_resolve_takes_what_argparse_left(folder, parser):
    words = ["--config", f"{folder}/small.py", "--config.train.epochs=9"]
    config = resolve(*parser.parse_known_args(words))
    assert config.train.epochs == 9


@pytest.mark.parametrize("help_first", [True, False])
def test_help_lists_the_keys_of_the_file(folder, parser, capsys, help_first):
    words = ["--config", f"{folder}/small.py"]
    words = ["--help", *words] if help_first else [*words, "-h"]
    with pytest.raises(SystemExit) as caught:
        parse(parser, words)
    assert caught.value.code == 0
    assert "train.epochs=2" in capsys.readouterr().out


def test_help_alone_lists_the_defaults(parser, capsys):
    with pytest.raises(SystemExit):
        parse(parser, ["--help"])
    assert "optim.lr=0.0003" in capsys.readouterr().out


def test_help_with_a_wrong_file_says_so(parser, folder):
    with pytest.raises(InputError, match="no such file"):
        parse(parser, ["--help", "--config", f"{folder}/none.py"])


@main_guard
def _main(argv):
    if argv == ["input"]:
        raise InputError("x: wrong; give y")
    if argv == ["interrupt"]:
        raise KeyboardInterrupt
    if argv == ["disk"]:
        raise OSError(28, "No space left on device", "f")
    if argv == ["terminate"]:
        os.kill(os.getpid(), signal.SIGTERM)
    return 3 if argv else None


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        ([], 0, ""),
        (["three"], 3, ""),
        (["input"], 2, "error: x: wrong; give y\n"),
        (["interrupt"], 130, "interrupted\n"),
        (["disk"], 1, "error: [Errno 28] No space left on device: 'f'\n"),
        (["terminate"], 143, "terminated\n"),
    ],
)
def test_main_guard_turns_errors_into_a_status(capsys, argv, status, said):
    assert _main(argv) == status
    assert capsys.readouterr().err == said


def test_main_guard_gives_the_signal_back():
    before = signal.getsignal(signal.SIGTERM)
    _main(["terminate"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_main_guard_lets_bugs_through():
    @main_guard
    def broken(argv):
        raise ValueError(argv)

    with pytest.raises(ValueError):
        broken([])


PRINTER = """
from ckda_jax.config import main_guard

@main_guard
def main(argv=None):
    for number in range(100000):
        print(number)

raise SystemExit(main())
"""


def test_main_guard_is_quiet_when_the_reader_leaves():
    command = [sys.executable, "-c", PRINTER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe) as printer:
        assert printer.stdout is not None and printer.stderr is not None
        assert printer.stdout.readline() == "0\n"
        printer.stdout.close()
        assert printer.stderr.read() == ""
        assert printer.wait(timeout=60) == 141
