import argparse

from ckda_jax.data.command import Command


def test_a_command_parses_its_arguments_and_runs():
    command = Command(
        "add one",
        arguments=lambda parser: parser.add_argument("--to", type=int) and None,
        run=lambda options: options.to + 1,
    )
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    assert command.run(parser.parse_args(["--to", "2"])) == 3
