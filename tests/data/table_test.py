"""Tables of one's own: both kinds of files, and every row that cannot be used."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ckda_jax.data import table
from ckda_jax.data.dataset import Options
from ckda_jax.structs import InputError
from tests.data.layouts import touch, write_lines

OPTIONS = Options(modalities=("visible", "infrared"), protocols=("all",))
HEADER = "note,split,identity,path,modality,camera"
ROWS = [
    "x,train,007,a/1.jpg,visible,door",
    "x,train,007,a/2.jpg,infrared,",
    "x,test,8,b/1.jpg,visible,door",
    'x,test,8," ./b/2, b.jpg",infrared,gate',
]
PATHS = ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2, b.jpg")


@pytest.fixture
def root(tmp_path):
    """A folder of images beside which tables are written."""
    for path in PATHS:
        touch(tmp_path / path)
    return tmp_path


def write(root, rows=ROWS, header=HEADER, end="\n"):
    write_lines(root / "list.csv", [header, *rows], end=end)
    return root / "list.csv"


def write_parquet(root, columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), root / "list.parquet")
    return root / "list.parquet"


def refusal(file, options=OPTIONS):
    with pytest.raises(InputError) as caught:
        table.load("site", file, options)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{file.parent}/", "")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_file_is_read(root, end):
    dataset = table.load("site", write(root, end=end), OPTIONS)
    assert dataset.root == root
    assert dataset.names.identities == ("007", "8")
    assert dataset.names.cameras == ("door", "gate")
    assert dataset.train.paths.tolist() == [f"{root}/a/1.jpg", f"{root}/a/2.jpg"]
    assert dataset.train.camera.tolist() == [0, -1]
    protocol = dataset.protocols["infrared-to-visible"]
    assert protocol.query.paths.tolist() == [f"{root}/b/2, b.jpg"]
    assert protocol.rule == "own-camera"


def test_a_byte_order_mark_and_blank_lines_change_nothing(root):
    plain = table.list_entries(write(root), OPTIONS.modalities)
    marked = write(root, ["", *ROWS[:2], "", *ROWS[2:]], "\ufeff" + HEADER)
    assert table.list_entries(marked, OPTIONS.modalities) == plain


def test_a_parquet_file_with_columns_of_any_type_is_the_same(root):
    columns = {
        "identity": [7, 7, 8, 8],
        "path": PATHS,
        "split": pyarrow.array(["train", "train", "test", "test"]).dictionary_encode(),
        "modality": ["visible", "infrared", "visible", "infrared"],
        "camera": [1.0, float("nan"), None, 2.0],
        "score": np.arange(4),
    }
    dataset = table.load("site", write_parquet(root, columns), OPTIONS)
    assert dataset.names.identities == ("7", "8")
    assert dataset.names.cameras == ("1", "2")
    assert dataset.train.camera.tolist() == [0, -1]
    assert dataset.protocols["lifelong"].rule == "standard"


def test_tracklets_are_items_in_the_order_of_their_frames(root):
    names = [f"t/{n}.jpg" for n in range(4)]
    for name in names:
        touch(root / name)
    rows = [
        f"test,9,{name},visible,{tracklet},{frame}"
        for name, tracklet, frame in zip(
            names, "aabb", ("10", "9", "1", "2"), strict=True
        )
    ]
    rows += ["test,9,b/1.jpg,infrared,,", "train,1,a/1.jpg,visible,,"]
    file = write(root, rows, "split,identity,path,modality,tracklet,frame")
    protocol = table.load("site", file, OPTIONS).protocols["infrared-to-visible"]
    ordered = [path.removeprefix(f"{root}/t/") for path in protocol.gallery.paths]
    assert ordered == ["1.jpg", "0.jpg", "2.jpg", "3.jpg"]
    assert len(protocol.items(protocol.gallery)) == 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,train,,c.jpg,visible,", "list.csv line 6: identity is empty; fill it in"),
        ("x,train,9,,visible,", "list.csv line 6: path is empty"),
        ("x,Train,9,c.jpg,visible,", "line 6: split 'Train' is none of train, test, "
         "query, gallery (nearest: train)"),
        ("x,train,9,c.jpg,ir,", "line 6: modality 'ir' is none of config.modalities, "
         "visible, infrared (nearest: infrared)"),
        ("x,train,9,a/1.jpg,visible,", "line 6: path 'a/1.jpg' stands in line 2 alr"),
        ("x,train,9,a/../a/1.jpg,visible,", "line 6: path 'a/1.jpg' stands in line 2"),
        ("x,train,9,../c.jpg,visible,", "line 6: path '../c.jpg' leaves the table's f"),
        ("x,train,9,/etc/c.jpg,visible,", "line 6: path '/etc/c.jpg' leaves the table"),
        ("x,train,9,.,visible,", "line 6: path '.' leaves the table's folder"),
        ("x,train,9,c.jpg,visible", "line 6: 5 values for 6 columns; put double"),
        ('x,train,9,"c.jpg,visible,', "cannot be read as a CSV file (unexpected end"),
        ("x,train,9,c.jpg,visible,", "1 of 5 images named by the index files are"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named(root, row, said):
    assert said in refusal(write(root, [*ROWS, row]))


def test_lines_are_those_of_an_editor(root):
    rows = ["", 'x,train,"007",a/1.jpg,visible,"two\nlines"', "x,train,,b,visible,"]
    assert "list.csv line 5: identity is empty" in refusal(write(root, rows))


def test_an_absolute_path_inside_and_links_that_stay_are_taken(root):
    (root / "link").symlink_to(root / "b")
    rows = [
        *ROWS[:2],
        f"x,test,8,{root}/b/1.jpg,visible,",
        "x,test,8,link/1.jpg,infrared,",
    ]
    entries = table.list_entries(write(root, rows), OPTIONS.modalities)
    assert [entry.path for entry in entries[2:]] == ["b/1.jpg", "link/1.jpg"]


@pytest.mark.parametrize("path", ["out/1.jpg", "b/out.jpg"])
def test_a_link_that_leads_out_is_refused(root, path):
    touch(root.parent / "elsewhere" / "1.jpg")
    (root / "out").symlink_to(root.parent / "elsewhere")
    (root / "b" / "out.jpg").symlink_to(root.parent / "elsewhere" / "1.jpg")
    file = write(root, [*ROWS, f"x,test,8,{path},visible,"])
    assert f"line 6: path '{path}' leaves the table's folder" in refusal(file)


def test_rows_of_a_parquet_file_are_counted(root):
    columns = {"identity": ["a", None], "path": ["1", "2"], "split": ["train"] * 2}
    file = write_parquet(root, {**columns, "modality": ["visible", "visible"]})
    assert "list.parquet row 2: identity is empty" in refusal(file)


def test_a_table_without_a_column_is_refused(root):
    said = refusal(write(root, header=HEADER.replace("path", "file")))
    assert (
        "list.csv: no column path; its columns are note, split, identity, file" in said
    )
    assert "needed are path, identity, modality, split, and camera, track" in said
    file = write_parquet(root, {"path": ["1"], "modality": ["visible"]})
    assert "list.parquet: no column identity, split; its" in refusal(file)
    twice = write(root, header=HEADER.replace("note", "path"))
    assert "list.csv: more than one column path" in refusal(twice)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "list.csv",
            b"",
            "no column path, identity, modality, split; its columns",
        ),
        ("list.csv", HEADER.encode(), "list.csv has no rows; list images in it"),
        ("list.csv", b"\xff\xfe\x00p", "cannot be read as a CSV file ('utf-8' codec"),
        (
            "list.parquet",
            b"PAR1",
            "cannot be read as a Parquet file (Parquet file",
        ),
    ],
)
def test_a_file_that_is_no_table_is_refused(root, name, content, said):
    (root / name).write_bytes(content)
    assert said in refusal(root / name)


def test_no_file_at_all(root):
    assert "gone.csv: there is no such file; correct config.data.own" in refusal(
        root / "gone.csv"
    )


def test_a_survey_gathers_every_row_that_cannot_be_used(root):
    wrong = ["x,trian,8,b/3.jpg,visible,", "x,test,8,b/1.jpg,visible,door"]
    file = write(root, [wrong[0], *ROWS, wrong[1]])
    said = []
    found = table.survey(file, OPTIONS, said.append)
    assert "line 2: split 'trian' is none of" in str(said[0])
    assert "line 7: path 'b/1.jpg' stands in line 5 already" in str(said[1])
    assert len(said) == 2
    assert [len(found.splits[split]) for split in ("train", "test")] == [2, 2]
    with pytest.raises(InputError, match="line 2: split 'trian'"):
        table.survey(file, OPTIONS)
    gone = table.survey(root / "none.csv", OPTIONS, said.append)
    assert gone.splits == {}
