from pathlib import Path

import pytest

from ckda_jax.data.index import (
    Labelled,
    Line,
    label_order,
    read_lines,
    require_lines,
    split_label,
)
from ckda_jax.data.row import Row
from ckda_jax.structs import VISIBLE, InputError


@pytest.fixture
def file(tmp_path):
    return tmp_path / "train.txt"


def labelled(file, pairs, folder="vis"):
    return [
        Labelled(
            Row(f"{folder}/{number}", identity, VISIBLE, 1),
            label,
            Line(file, number, "x"),
        )
        for number, (identity, label) in enumerate(pairs, start=1)
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_are_read_whatever_ends_them(file, end, mark):
    file.write_bytes(mark + f"a 0{end}{end}b 1{end}".encode())
    lines = read_lines(file)
    assert [(line.number, line.text) for line in lines] == [(1, "a 0"), (3, "b 1")]


def test_unreadable_and_empty_files_are_refused(file):
    with pytest.raises(InputError, match=r"train\.txt cannot be read as text"):
        read_lines(file)
    file.write_bytes(b"\x89PNG\xff")
    with pytest.raises(InputError, match=r"train\.txt cannot be read as text"):
        read_lines(file)
    file.write_text("\n \n")
    assert read_lines(file) == []
    with pytest.raises(InputError, match=r"train\.txt is empty"):
        require_lines(file)


def test_a_label_ends_the_line(file):
    assert split_label(Line(file, 1, "Visible/1/a.bmp 12")) == ("Visible/1/a.bmp", 12)
    assert split_label(Line(file, 1, "a folder/a.bmp 3")) == ("a folder/a.bmp", 3)


@pytest.mark.parametrize(
    "text", ["a.bmp", "12", "a.bmp -1", "a.bmp 1.0", "my file.bmp"]
)
def test_a_line_without_a_label_is_refused(file, text):
    with pytest.raises(InputError, match=r"train\.txt line 4: .* has no label; every"):
        split_label(Line(file, 4, text))


def test_integers_of_a_line(file):
    assert Line(file, 1, "2 1 24 0503 3").integers(5) == [2, 1, 24, 503, 3]
    for text in ("2 1 24 0503", "2 1 24 0503 3 4", "2 1 -24 0503 3", "2 1 x 0503 3"):
        with pytest.raises(InputError, match="line 1: .* is not a row of 5 integers"):
            Line(file, 1, text).integers(5)


def test_label_order_maps_identities_to_labels(file):
    visible, infrared = [(7, 0), (7, 0), (3, 1)], [(3, 1), (7, 0)]
    lists = [labelled(file, visible), labelled(file, infrared, "ir")]
    assert label_order("Toy", lists) == {7: 0, 3: 1}


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([(7, 0), (7, 1)], "line 2: .* earlier line gives it label 0"),
        ([(7, 0), (3, 0)], "line 2: .* earlier line gives that label to identity 7"),
    ],
)
def test_labels_that_contradict_are_refused(file, pairs, said):
    with pytest.raises(InputError, match=said):
        label_order("Toy", [labelled(file, pairs)])


def test_an_image_named_twice_is_refused(file):
    lists = [labelled(file, [(7, 0), (3, 1)]), labelled(file, [(7, 0)])]
    with pytest.raises(InputError, match="line 1: .* names an image that an earlier"):
        label_order("Toy", lists)


def test_complaints_are_gathered_and_the_rest_is_read(tmp_path):
    said = []
    assert read_lines(tmp_path / "none.txt", said.append) == []
    (tmp_path / "empty.txt").write_text("\n")
    assert require_lines(tmp_path / "empty.txt", said.append) == []
    assert "none.txt cannot be read" in str(said[0])
    assert "empty.txt is empty" in str(said[1])


def test_labels_agree_but_for_the_lines_complained_of():
    lines = [Line(Path("f"), n, "text") for n in range(1, 5)]
    rows = [Row(f"{n}.jpg", identity, 0, 1) for n, identity in enumerate((7, 7, 8, 9))]
    images = [
        Labelled(row, label, line)
        for row, label, line in zip(rows, (0, 1, 0, 2), lines, strict=True)
    ]
    said = []
    assert label_order("Toy", [images], said.append)[9] == 2
    assert ["line 2" in str(said[0]), "line 3" in str(said[1])] == [True, True]
    assert len(said) == 2
