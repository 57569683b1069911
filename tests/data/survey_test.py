from pathlib import Path

from ckda_jax.data.dataset import Dataset
from ckda_jax.data.protocol import Protocol
from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import of_dataset


def dataset(*sides: tuple[list[int], list[int]]) -> Dataset:
    """Make a dataset that trains on images 0 and 1, and searches others."""

    def table(numbers):
        return as_records(Path("/d"), [Row(f"{n}.jpg", n, n % 2, 1) for n in numbers])

    return Dataset(
        name="own",
        root=Path("/d"),
        train=table([0, 1]),
        protocols={
            str(number): Protocol(
                name=str(number),
                query=table(query),
                gallery=table(gallery),
                rule="standard",
            )
            for number, (query, gallery) in enumerate(sides)
        },
        resize_train="lanczos",
        resize_test="lanczos",
    )


def test_the_images_of_all_protocols_are_the_test_split_each_once():
    whole = dataset(([5, 3], [4]), ([4], [3, 7]))
    found = of_dataset(whole)
    assert found.splits["test"].identity.tolist() == [5, 3, 4, 7]
    assert found.splits["train"] is found.train is whole.train
    assert found.protocols is whole.protocols


def test_without_protocols_there_is_no_test_split():
    assert list(of_dataset(dataset()).splits) == ["train"]
