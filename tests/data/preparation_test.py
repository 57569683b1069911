"""The command `prepare`."""

from ckda_jax.data import prepared
from ckda_jax.data.__main__ import main
from tests.data import layouts


def test_the_command(world, tmp_path, capsys):
    words = ["prepare", "sysu", "--root", str(world["sysu"]), "--out", "out"]
    out = tmp_path / "out"
    words[-1] = str(out)
    assert main([*words, "--size", "32", "16", "--threads", "2"]) == 0
    said = capsys.readouterr()
    assert f"sysu: {len(prepared.at(out) or ())} images of 32x16" in said.out
    assert f"--config.data.roots.sysu={out}" in said.out
    assert "preparing: " in said.err
    assert main([*words, "--size", "0", "16"]) == 2
    assert "--size 0 16 --threads 4: all of them must be" in capsys.readouterr().err


def test_data_of_ones_own_are_named_by_who_trains_on_them(tmp_path, capsys):
    root = layouts.paint(layouts.write_own(tmp_path / "site"))
    words = ["prepare", "folder", "--root", str(root), "--out", str(tmp_path / "out")]
    words += ["--size", "32", "16", "--modalities", *layouts.MODALITIES]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("folder: 24 images of 32x16, ")
    assert f"--config.data.own=NAME={tmp_path / 'out'}\n" in said
    assert main([*words[:-1], "thermel"]) == 2
    assert "thermel" in capsys.readouterr().err
