import pytest

from ckda_jax.data.__main__ import main

NUMBERS = ["--identities", "4", "--test-identities", "2", "--images", "2"]
TINY = [*NUMBERS, "--shots", "1", "--height", "16"]


def test_writes_the_sites_asked_for(tmp_path, capsys):
    out = tmp_path / "world"
    status = main(["synthesize", "--out", str(out), *TINY, "--sites", "regdb", "llcm"])
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "LLCM",
        "RegDB",
        "world.json",
    ]
    said = capsys.readouterr()
    assert f"regdb: {out / 'RegDB'}" in said.out
    assert "144 of 144 pictures" in said.err


@pytest.mark.parametrize(
    "wrong", [["--identities", "1"], ["--seed", "-3"], ["--sites", "market"]]
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, wrong):
    out = tmp_path / "world"
    assert main(["synthesize", "--out", str(out), *TINY, *wrong]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not out.exists()
