"""Ranked lists show who was found, with the images or without."""

import re

from ckda_jax.reporting.rankings import distance, modality_name, ranked_lists
from ckda_jax.reporting.rundir import Examples
from tests.reporting.fake_run import entry


def examples(folder, queries=2):
    lists = []
    for query in range(queries):
        gallery = [
            {**entry(folder, rank, 0, rank), "distance": rank / 8, "correct": rank == 2}
            for rank in range(12)
        ]
        lists.append({"query": entry(folder, 2, 1, query), "gallery": gallery})
    return Examples(dataset="a<b", protocol="all", queries=lists, prompts=None)


def test_first_ten_are_marked_right_or_wrong(tmp_path):
    found = ranked_lists(examples(tmp_path), images=True, most=1)
    assert re.findall(r'class="shot (\w+)"', found) == [
        "query", "wrong", "wrong", "right", *["wrong"] * 7,
    ]  # fmt: skip
    assert found.count("data:image/jpeg") == 11
    assert "distance 0.250" in found and "id 2, cam 3" in found
    assert found.count("✓") == 1 and found.count("✗") == 9
    assert "1 of 2 queries are shown" in found
    assert "a&lt;b" in found


def test_without_images_identity_and_camera_stand_in(tmp_path):
    found = ranked_lists(examples(tmp_path), images=False, most=5)
    assert "<img" not in found and "data:" not in found and str(tmp_path) not in found
    assert found.count("camera 3") > 0 and found.count('class="blank"') == 22
    assert "are shown" not in found


def test_lost_image_is_a_card(tmp_path):
    lists = examples(tmp_path, queries=1)
    lists.queries[0]["query"]["path"] = str(tmp_path / "gone.png")
    found = ranked_lists(lists, images=True, most=1)
    assert found.count('class="blank"') == 1


def test_relative_paths_start_at_the_root(tmp_path):
    lists = examples(tmp_path, queries=1)
    query = lists.queries[0]["query"]
    query["path"] = query["path"].removeprefix(f"{tmp_path}/")
    found = ranked_lists(lists, images=True, most=1, root=tmp_path)
    assert found.count("data:image/jpeg") == 11


def test_entries_without_facts(tmp_path):
    bare = Examples(
        dataset="a", protocol="", queries=[{"query": {}, "gallery": [{}]}], prompts=None
    )
    found = ranked_lists(bare, images=True, most=1, root=tmp_path)
    assert "id ?, cam ?" in found


def test_names_and_unknown_cameras(tmp_path):
    lists = examples(tmp_path, queries=1)
    lists.queries[0]["query"] |= {"identity": "Zoë", "camera": None}
    found = ranked_lists(lists, images=True, most=1)
    assert "id Zoë, cam ?" in found and "None" not in found
    assert modality_name(2, ("visible", "infrared", "thermal")) == "thermal"
    assert modality_name(0) == "visible" and modality_name(7) == "modality 7"
    assert modality_name("infrared") == "infrared"
    assert distance(0.12345) == "distance 0.123" and distance(None) == ""
