"""Peers: parts, and rows that go around; three processes are three threads here."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ckda_jax.engine.peers import ALONE, Peers

COUNT = 3
TABLE = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


class Threads(Peers):
    """Peers that are threads: what they exchange, they leave on a table."""

    meeting = threading.Barrier(COUNT, timeout=30)
    table: dict[int, np.ndarray] = {}

    def _sum(self, array):
        assert len(array) == self.block
        self.table[self.index] = array
        self.meeting.wait()
        total = sum(self.table[index] for index in range(COUNT))
        self.meeting.wait()
        return total


def among(function):
    """Run `function(peers)` in all processes at once; list what they return."""
    with ThreadPoolExecutor(COUNT) as pool:
        peers = [Threads(index, COUNT, 2) for index in range(COUNT)]
        return list(pool.map(function, peers))


@pytest.mark.parametrize("length", [0, 1, 2, 7, 9])
def test_parts_are_contiguous_and_make_the_whole(length):
    parts = [Peers(index, COUNT).part(length) for index in range(COUNT)]
    rows = [row for part in parts for row in range(length)[part]]
    assert rows == list(range(length))
    longest = Peers(0, COUNT).longest(length)
    assert max(part.stop - part.start for part in parts) == longest


def test_one_process_has_everything_to_itself():
    assert ALONE.part(7) == slice(0, 7)
    assert ALONE.most(5) == 5
    assert ALONE.join(TABLE) is TABLE
    places = np.array([6, 0, 6])
    np.testing.assert_array_equal(ALONE.take(TABLE, 7, places), TABLE[places])


def test_rows_go_around_in_blocks_of_one_size():
    places = np.array([6, 0, 3, 3, 5])

    def walk(peers):
        own = TABLE[peers.part(7)]
        return list(peers.blocks(own, 7, places))

    for blocks in among(walk):
        assert [where for where, _ in blocks] == [slice(0, 2), slice(2, 4), slice(4, 5)]
        rows = np.concatenate([rows for _, rows in blocks])
        np.testing.assert_array_equal(rows, TABLE[places])


def test_each_process_keeps_the_rows_it_asked_for():
    places = np.array([6, 0, 3, 3, 5])

    def take(peers):
        own = TABLE[peers.part(7)]
        return peers.take(own, 7, places, peers.part(5))

    found = among(take)
    assert [len(rows) for rows in found] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(found), TABLE[places])
