from pathlib import Path

import numpy as np

from ckda_jax.data.protocol import Protocol, of_trials
from ckda_jax.data.row import Row, as_records

ROOT = Path("/data")
FRAMES = as_records(
    ROOT,
    [
        Row("a.jpg", 1, 0, 4, tracklet=7),
        Row("b.jpg", 1, 0, 4, tracklet=7),
        Row("c.jpg", 1, 0, 5, tracklet=9),
        Row("d.jpg", 2, 0, 5, tracklet=3),
    ],
)


def test_without_trials_there_is_one_of_everything():
    protocol = Protocol(name="p", query=FRAMES, gallery=FRAMES, rule="standard")
    (trial,) = protocol.each_trial()
    assert trial.query.tolist() == trial.gallery.tolist() == [0, 1, 2, 3]
    assert protocol.items(FRAMES) is FRAMES
    assert protocol.images(FRAMES, slice(1, 3)) == slice(1, 3)
    embeddings = np.eye(4)
    assert protocol.pool(FRAMES, embeddings) is embeddings


def test_the_frames_of_a_tracklet_are_one_item():
    protocol = Protocol(
        name="p", query=FRAMES, gallery=FRAMES, rule="standard", pooled=True
    )
    (trial,) = protocol.each_trial()
    assert trial.query.tolist() == [0, 1, 2]
    items = protocol.items(FRAMES)
    assert items.identity.tolist() == [1, 1, 2]
    assert items.tracklet.tolist() == [7, 9, 3]
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, -1.0]])
    assert protocol.images(FRAMES, slice(0, 2)) == slice(0, 3)
    assert protocol.images(FRAMES, slice(2, 3)) == slice(3, 4)
    assert len(protocol.pool(FRAMES.take(np.arange(0)), embeddings[:0])) == 0
    half = np.sqrt(0.5)
    wanted = [[half, half], [0.6, 0.8], [0.0, -1.0]]
    np.testing.assert_allclose(protocol.pool(FRAMES, embeddings), wanted)


def test_trials_share_one_table_in_which_every_image_stands_once():
    rows = [Row(f"{name}.jpg", 1, 0, 1) for name in "abcd"]
    a, b, c, d = rows
    protocol = of_trials("p", ROOT, "sysu", [([a, b], [c]), ([a], [d, c])])
    assert [path[6:] for path in protocol.query.paths] == ["a.jpg", "b.jpg"]
    assert [path[6:] for path in protocol.gallery.paths] == ["c.jpg", "d.jpg"]
    first, second = protocol.each_trial()
    assert (first.query.tolist(), first.gallery.tolist()) == ([0, 1], [0])
    assert (second.query.tolist(), second.gallery.tolist()) == ([0], [1, 0])
