"""The library's generator: one object, seeded by hand, and nobody else's business."""

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.random import generator, manual_seed


@pytest.mark.parametrize("seed", [0, 7, np.int64(7), 2**100])
def test_a_seed_starts_numpys_sequence(seed):
    manual_seed(seed)
    np.testing.assert_array_equal(generator().random(5), np.random.default_rng(int(seed)).random(5))


def test_seeding_again_repeats_and_another_seed_does_not():
    draws = []
    for seed in (1, 1, 2):
        manual_seed(seed)
        draws.append(generator().random(5).tolist())
    assert draws[0] == draws[1] != draws[2]


def test_whoever_holds_the_generator_sees_the_seed():
    held = generator()
    manual_seed(3)
    first = held.random()
    manual_seed(3)
    assert generator() is held
    assert held.random() == first


def test_the_state_can_be_saved_and_restored():
    state = generator().bit_generator.state
    first = tg.nn.Dense(3, 2).weight.data
    generator().bit_generator.state = state
    np.testing.assert_array_equal(tg.nn.Dense(3, 2).weight.data, first)


def test_initial_weights_follow_the_seed():
    weights = []
    for seed in (5, 5, 6):
        manual_seed(seed)
        weights.append(tg.nn.Dense(3, 2).weight.data.tolist())
    assert weights[0] == weights[1] != weights[2]


def test_numpys_own_random_state_is_left_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 (the legacy state is what must not change)
    manual_seed(1)
    tg.nn.Dense(3, 2)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("seed", "error", "complaint"),
    [
        (-1, ValueError, "must be zero or above, not -1"),
        (1.5, TypeError, r"must be an integer, not 1\.5 \(float\)"),
        ("1", TypeError, r"must be an integer, not '1' \(str\)"),
        (None, TypeError, "must be an integer, not None"),
    ],
)
def test_what_is_no_seed_is_refused_and_changes_nothing(seed, error, complaint):
    before = generator().bit_generator.state
    with pytest.raises(error, match=complaint):
        manual_seed(seed)
    assert generator().bit_generator.state == before
