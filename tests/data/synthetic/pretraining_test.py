import numpy as np

from ckda_jax.data.synthetic import crowd, pretraining, pretraining_images


def test_draws_are_reproducible_and_differ():
    group = crowd(0, identities=5, cameras=3)
    labels = np.array([0, 4, 4])
    first = pretraining_images(group, labels, draw=1, size=(32, 16))
    assert first.shape == (3, 32, 16, 3)
    assert first.dtype == np.uint8
    again = pretraining_images(
        crowd(0, identities=5, cameras=3), labels, draw=1, size=(32, 16)
    )
    np.testing.assert_array_equal(first, again)
    other = pretraining_images(group, labels, draw=2, size=(32, 16))
    assert (first != other).any()
    assert (first[1] != first[2]).any()  # one person, two shots


def test_every_image_of_a_person_shows_other_clothes(monkeypatch):
    drawn = []

    def render(person, shot, camera, **options):
        drawn.append(person)
        return np.zeros((*options["size"], 3), np.uint8)

    monkeypatch.setattr(pretraining, "render", render)
    group = crowd(0, identities=2, cameras=1)
    pretraining_images(group, np.array([1, 1, 1]), draw=0, size=(32, 16))
    assert all(person.common == group.people[1].common for person in drawn)
    colours = np.stack([person.visible.colours for person in drawn])
    assert len(np.unique(colours, axis=0)) == 3


def test_people_do_not_depend_on_how_many_there_are():
    labels = np.array([1])
    few, many = (
        pretraining_images(
            crowd(0, identities=n, cameras=2), labels, draw=0, size=(32, 16)
        )
        for n in (2, 6)
    )
    np.testing.assert_array_equal(few, many)
