from pathlib import Path

from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import Survey


def test_the_splits_are_stacked_in_their_order():
    splits = {
        split: as_records(Path("/d"), [Row(f"{n}.jpg", n, 0, 1) for n in numbers])
        for split, numbers in (("train", [4, 2]), ("val", []), ("test", [2]))
    }
    found = Survey(splits=splits, train=splits["train"], protocols={})
    table, split = found.stack()
    assert table.identity.tolist() == [4, 2, 2]
    assert split.tolist() == ["train", "train", "test"]
