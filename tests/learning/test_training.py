from dataclasses import replace

import numpy as np
from clouds import cloud

from dogsim import hold_out


def test_images_of_unknown_breed_stay_in_the_rest() -> None:
    dataset = cloud(40)
    labels = np.where(np.arange(40) % 2, dataset.labels, -1)
    rest, held = hold_out(replace(dataset, labels=labels), 0.5)
    assert (rest.labels == -1).sum() == 20
    assert (held.labels >= 0).all()
    assert len(rest) + len(held) == 40


def test_unknown_breeds_are_not_held_out() -> None:
    labels = np.array([-1, -1, -1, 0, 0])
    data = cloud(5)
    _, held = hold_out(replace(data, labels=labels), 0.5, least=1)
    assert held.labels.tolist() == [0]
