import shutil

from ckda_jax.data import llcm, regdb, sysu, vcm
from ckda_jax.data.renaming import renamings
from tests.data import layouts

REGDB = regdb.layout(1)


def test_nothing_is_renamed_in_what_fits(tmp_path):
    assert renamings(layouts.write_regdb(tmp_path), REGDB) == []


def test_names_of_another_case_are_renamed_with_all_they_hold(tmp_path):
    root = layouts.write_regdb(tmp_path)
    (root / "Visible").rename(root / "visible")
    (root / "idx").rename(root / "IDX")
    file = root / "IDX" / "test_visible_1.txt"
    file.rename(file.with_name("Test_Visible_1.TXT"))
    assert renamings(root, REGDB) == [
        "rename visible/ to Visible/",
        "rename IDX/ to idx/",
    ]


def test_what_lies_elsewhere_is_moved(tmp_path):
    root = layouts.write_llcm(tmp_path)
    (root / "images").mkdir()
    (root / "vis").rename(root / "images" / "vis")
    file = root / "idx" / "train_nir.txt"
    file.rename(root / file.name)
    assert renamings(root, llcm.LAYOUT) == [
        "move images/vis/ to vis/",
        "move train_nir.txt to idx/train_nir.txt",
    ]


def test_a_neighbour_that_fits_better_is_the_whole_advice(tmp_path):
    inner = layouts.write_sysu(tmp_path / "SYSU-MM01" / "ori_data")
    advice = [f"the dataset seems to lie in {inner}: give it as --root"]
    assert renamings(inner.parent, sysu.LAYOUT) == advice
    assert renamings(inner / "cam1", sysu.LAYOUT) == advice


def test_people_without_a_level_for_their_split_are_recognised(tmp_path):
    root = layouts.write_vcm(tmp_path)
    for split in ("Train", "Test"):
        for person in sorted((root / split).iterdir()):
            person.rename(root / person.name)
        (root / split).rmdir()
    (advice,) = renamings(root, vcm.LAYOUT)
    assert "info/train_name.txt into Train/ and the others into Test/" in advice


def test_archives_are_to_be_unpacked(tmp_path):
    root = layouts.write_sysu(tmp_path)
    shutil.rmtree(root / "cam4")
    layouts.touch(root / "cam4.ZIP")
    layouts.touch(root / "notes.txt")
    assert renamings(root, sysu.LAYOUT) == ["unpack cam4.ZIP"]
