"""Images as users name them."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from ckda_jax.data.sources import Source, read
from ckda_jax.structs import InputError

KNOWN = ("visible", "infrared")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images in folders, beside a file that is none."""
    for name in ("b.png", "a/2.JPG", "a/1.png", "a/x/3.bmp", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(found: list[Source], folder: Path) -> list[str]:
    """Name images relative to a folder."""
    return [str(Path(source.path).relative_to(folder)) for source in found]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["b.png"], ["b.png"]),
        (["a"], ["a/1.png", "a/2.JPG", "a/x/3.bmp"]),
        (["a/*.png", "b.png"], ["a/1.png", "b.png"]),
        (["a/**/*.bmp"], ["a/x/3.bmp"]),
        (["?"], ["a/1.png", "a/2.JPG", "a/x/3.bmp"]),
        (["b.png", "*.png", "a/1.png", "?/*.JPG"], ["b.png", "a/1.png", "a/2.JPG"]),
        (["a/notes.txt"], ["a/notes.txt"]),
    ],
)  # fmt: skip
def test_files_folders_and_patterns(folder, words, wanted):
    found = read([folder / word for word in words], "infrared", KNOWN)
    assert names(found, folder) == wanted
    assert {source.modality for source in found} == {"infrared"}
    assert {(source.identity, source.camera) for source in found} == {(None, None)}


def test_paths_become_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (found,) = read(["./a/../b.png"], "visible", KNOWN)
    assert found.path == str(folder / "b.png")


def test_a_csv_table_says_what_its_images_are(folder):
    table = folder / "a" / "table.csv"
    table.write_text(
        "camera,path,identity,modality,note\n"
        "3,1.png,0007,visible,x\n"
        ",../b.png,,infrared,y\n"
    )
    assert read([table], None, KNOWN) == [
        Source(
            path=str(folder / "a/1.png"),
            modality="visible",
            identity="0007",
            camera="3",
        ),
        Source(path=str(folder / "b.png"), modality="infrared"),
    ]  # fmt: skip


def test_a_parquet_table_of_numbers_is_read_as_text(folder):
    path = folder / "table.parquet"
    columns = {"path": ["b.png", "a/1.png"], "identity": [7, None]}
    pyarrow.parquet.write_table(pa.table(columns), path)
    found = read([path], "visible", KNOWN)
    assert [(s.identity, s.modality) for s in found] == [
        ("7", "visible"),
        (None, "visible"),
    ]


def test_what_is_empty_is_unknown_in_a_parquet_table_too(folder):
    path = folder / "table.parquet"
    columns = {
        "path": ["b.png", "a/1.png"],
        "identity": [float("nan"), 7.0],
        "camera": ["", "3"],
    }
    pyarrow.parquet.write_table(pa.table(columns), path)
    found = read([path], "visible", KNOWN)
    assert [(s.identity, s.camera) for s in found] == [(None, None), ("7", "3")]


def test_spaces_around_names_and_values_of_a_csv_table_mean_nothing(folder):
    table = folder / "table.csv"
    table.write_text("path, identity, camera\nb.png , 0007, \n")
    (found,) = read([table], "visible", KNOWN)
    assert found == Source(
        path=str(folder / "b.png"), modality="visible", identity="0007"
    )


def test_hidden_files_and_folders_are_left_out(folder):
    for name in ("a/._1.png", "a/.thumbs/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    found = read([folder / "a"], "visible", KNOWN)
    assert names(found, folder) == ["a/1.png", "a/2.JPG", "a/x/3.bmp"]


def test_empty_modalities_are_those_of_the_command(folder):
    table = folder / "table.csv"
    table.write_text("path,modality\nb.png,infrared\na/1.png,\n")
    found = read([table], "visible", KNOWN)
    assert [source.modality for source in found] == ["infrared", "visible"]


@pytest.mark.parametrize(
    ("word", "modality", "said"),
    [
        ("gone.png", "visible", "no such file or folder"),
        ("*.gif", "visible", "no file fits the name"),
        ("empty", "visible", "holds no image"),
        ("b.png", None, "of which modality[?] Give --modality, one of visible"),
        ("b.png", "thermal", "unknown modality 'thermal'; choose one of visible, inf"),
    ],
)
def test_what_is_not_there_is_refused(folder, word, modality, said):
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=said):
        read([folder / word], modality, KNOWN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read as a table of images"),
        ("path,x\nb.png\n", "cannot be read as a table of images"),
        ("file,identity\nb.png,7\n", "its columns are file, identity"),
        ('path,identity\n"",7\n', "has empty cells"),
        ("path,identity\n", "has no rows"),
        (
            "path,modality\nb.png,visible\ngone.png,visible\n",
            "1 of 2 images it names are absent: .*/gone.png",
        ),
        ("path,modality\nb.png,depth\n", "unknown modality 'depth'"),
        ("path,modality\nb.png,\n", "no modality given"),
        (
            "path,identity,modality\nb.png,7,visible\nb.png,8,visible\n",
            "b.png is named twice with different labels",
        ),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_one_line(folder, text, said):
    table = folder / "table.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read([table], None, KNOWN)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_what_is_no_parquet_is_refused(folder):
    table = folder / "table.parquet"
    table.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as a table of images"):
        read([table], "visible", KNOWN)


def test_a_name_that_is_no_text_is_refused(folder):
    (folder / "a" / "\udcff.png").touch()
    with pytest.raises(InputError, match="is not UTF-8 text; rename the file"):
        read([folder / "a"], "visible", KNOWN)


def test_a_folder_that_cannot_be_read_is_refused(folder, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("a/x"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match="a/x: Permission denied; make it readable"):
        read([str(folder / "a")], "visible", KNOWN)
