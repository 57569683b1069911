"""The record: a decoded image as TFDS stores it in ArrayRecord files, and back.

TFDS is imported where it is needed: it takes half a second, ArrayRecord is not built
for every system, and a run on image folders can do without both.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ckda_jax.structs import Records

VERSION = "1.0.0"
"""Version of what the records hold, in the terms of TFDS."""

# Two threads that import TFDS at once can wait for each other without end.
_IMPORTING = threading.Lock()

_DESCRIPTION = (
    "Images of {name}, decoded and resized by `python -m ckda_jax.data prepare`."
)
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


def shard_name(dataset: str, chain: str, index: int, count: int) -> str:
    """Name a shard as TFDS looks for it; a resize chain is a split.

    >>> shard_name("regdb", "lanczos", 2, 9)
    'regdb-lanczos.array_record-00002-of-00009'
    """
    return f"{dataset}-{chain}.array_record-{index:05d}-of-{count:05d}"


def write_shard(
    file: Path,
    table: Records,
    images: Iterable[tuple[int, UInt8[np.ndarray, "h w 3"]]],
    size: tuple[int, int],
) -> None:
    """Write rows of a table and their images as a shard, a record for each.

    Pixels are stored as they are: to read an image is to copy it. ArrayRecord keeps a
    checksum of every record.

    Args:
        file: to write.
        table: the rows; their paths are stored as they are.
        images: rows to write, and their images.
        size: height and width of the images in pixels.

    Raises:
        OSError: the file cannot be written.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    columns = _features(size)
    try:
        writer = ArrayRecordWriter(str(file), "group_size:1,uncompressed")
        try:
            for row, image in images:
                example = _example(table, row, image)
                writer.write(_in_order(columns.serialize_example(example)))
        finally:
            writer.close()
    except RuntimeError as error:
        raise OSError(" ".join(str(error).split())) from error


def write_metadata(
    folder: Path,
    dataset: str,
    size: tuple[int, int],
    lengths: Mapping[str, Sequence[int]],
) -> None:
    """Write what TFDS needs beside the shards to read them without our code.

    Args:
        folder: of the shards.
        dataset: name of the dataset.
        size: height and width of the images in pixels.
        lengths: records in each shard, by split.
    """
    import tensorflow_datasets as tfds

    template = tfds.core.ShardedFileTemplate(
        data_dir=tfds.core.Path(folder),
        dataset_name=dataset,
        filetype_suffix="array_record",
        template=_TEMPLATE,
    )
    splits = [
        tfds.core.SplitInfo(
            name=name,
            shard_lengths=list(counts),
            num_bytes=sum(counts) * size[0] * size[1] * 3,
            filename_template=template,
        )
        for name, counts in lengths.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=_features(size),
        split_infos=splits,
        version=VERSION,
        filename_template=template,
        check_data=False,  # reads the first record, for which it wants TensorFlow
        description=_DESCRIPTION.format(name=dataset),
    )


def open_shard(file: Path) -> Any:
    """Open a shard for reading by position, from any number of threads."""
    with _IMPORTING:
        from array_record.python.array_record_module import ArrayRecordReader

    # Records are read in random order: what follows one on disk is not read ahead.
    return ArrayRecordReader(
        str(file), options="readahead_buffer_size:0", file_reader_buffer_size=32768
    )


def read_image(
    shard: Any, position: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Read one image of an open shard.

    Raises:
        RuntimeError: the file is damaged.
    """
    (record,) = shard.read([position])
    (pixels,) = _parse(record).features.feature["image"].bytes_list.value
    return np.frombuffer(pixels, np.uint8).reshape(*size, 3)


def _features(size: tuple[int, int]) -> Any:
    """Describe a record: the columns of `structs.Records`, and the pixels."""
    import tensorflow_datasets as tfds

    image = tfds.features.Tensor(
        shape=(*size, 3), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
    )
    return tfds.features.FeaturesDict(
        {
            "image": image,
            "path": tfds.features.Text(),
            "identity": np.int64,
            "modality": np.int8,
            "camera": np.int32,
            "tracklet": np.int32,
        }
    )


def _example(table: Records, row: int, image: np.ndarray) -> dict[str, Any]:
    return {
        "image": image,
        "path": str(table.paths[row]),
        "identity": int(table.identity[row]),
        "modality": int(table.modality[row]),
        "camera": int(table.camera[row]),
        "tracklet": int(table.tracklet[row]),
    }


def _in_order(record: bytes) -> bytes:
    """Bring the columns of a record into one order, so that equal shards are equal."""
    return _parse(record).SerializeToString(deterministic=True)


def _parse(record: bytes) -> Any:
    with _IMPORTING:
        from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example()  # pyright: ignore[reportAttributeAccessIssue]
    example.ParseFromString(record)
    return example
