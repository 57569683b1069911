"""TensorBoard's event files, written where the program is: errors reach the caller.

TensorBoard's usual writers write in a thread, which ends at the first error of a disk
that is full; whoever logs then waits for it for ever.
"""

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckda_jax.files import write_all

FORMAT = "brain.Event:2"
"""Version of the format, the first thing in a file."""


class Events:
    """An event file in a folder, one record for each step.

    A record is the length of its content, that length's checksum, the content and its
    checksum: https://www.tensorflow.org/tutorials/load_data/tfrecord. Each is handed to
    the system at once, so that nothing is left to be written when the file is closed.

    Args:
        folder: one of TensorBoard's runs; made in a folder that exists.
        first: step from which on TensorBoard forgets what older files of the run say.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, folder: Path, first: int) -> None:
        # Imported here: protobuf takes a second that short commands need not pay.
        from tensorboardX.proto import event_pb2

        self._proto: Any = event_pb2  # made at import, unknown to type checkers
        folder.mkdir(exist_ok=True)
        # TensorBoard reads the files of a run in the order of their names.
        name = f"{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        path = folder / f"events.out.tfevents.{name}"
        self._file = open(path, "ab", buffering=0)
        now = time.time()
        self._write(self._proto.Event(wall_time=now, file_version=FORMAT))
        begins = self._proto.SessionLog(status=self._proto.SessionLog.START)
        self._write(self._proto.Event(wall_time=now, step=first, session_log=begins))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the scalars of a step.

        Raises:
            OSError: they cannot be written.
        """
        event = self._proto.Event(wall_time=time.time(), step=step)
        for name, value in values.items():
            event.summary.value.add(tag=name, simple_value=value)
        self._write(event)

    def sync(self) -> None:
        """Wait until all of it is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: Any) -> None:
        from tensorboardX.record_writer import masked_crc32c

        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, content)]
        write_all(self._file, length + sums[0] + content + sums[1])
