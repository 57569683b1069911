"""The list of keys under `--help`."""

from ckda_jax.config.listing import describe


def test_lists_every_key_with_value_and_comment_in_order(folder):
    text = describe(f"{folder}/small.py:joint")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[1:] == [
        "seed=7 decides all",
        "stages=a,b in order",
        "",
        "train.epochs=2 of every stage",
        "train.size=8,4 height, width",
        "",
        "optim.lr=0.5 base rate",
        "optim.clip=false",
    ]


def test_a_comment_may_stand_on_a_wrapped_line(folder):
    text = (folder / "common.py").read_text()
    wrapped = text.replace("= 0  # decides all", "= (\n        0  # decides all\n    )")
    (folder / "common.py").write_text(wrapped)
    assert "  seed=0" in describe(f"{folder}/small.py")
    assert "decides all" in describe(f"{folder}/small.py")


def test_a_file_may_add_keys_of_its_own(folder):
    (folder / "own.py").write_text(
        "import common\n"
        "from ml_collections import ConfigDict\n"
        "def get_config():\n"
        "    config = common.get_config()\n"
        "    config.world = world = ConfigDict()\n"
        "    world.people = 3  # drawn\n"
        "    return config\n"
    )
    assert "world.people=3" in describe(f"{folder}/own.py")
    assert describe(f"{folder}/own.py").splitlines()[-1].endswith("drawn")
