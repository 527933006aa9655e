from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_np.data import Loader, Normalize, RandomShift

sizes = st.integers(1, 20)


def rows(loader):
    return [x.tolist() for (x,) in loader]


@given(count=sizes, size=sizes, shuffle=st.booleans(), drop_last=st.booleans())
def test_an_epoch_has_each_row_once_and_as_many_batches_as_its_length_says(count, size, shuffle, drop_last):
    if drop_last and size > count:
        with pytest.raises(ValueError, match=f"batch_size {size} leaves nothing of {count} rows"):
            Loader(np.arange(count), batch_size=size, drop_last=True)
        return
    loader = Loader(np.arange(count), -np.arange(count), batch_size=size, shuffle=shuffle, drop_last=drop_last)
    parts = list(loader)
    assert len(parts) == len(loader)
    x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    np.testing.assert_array_equal(x, -y)
    assert len(x) == loader.size == (count - count % size if drop_last else count)
    assert len(np.unique(x)) == len(x)
    if not shuffle:
        np.testing.assert_array_equal(x, np.arange(len(x)))


def test_each_epoch_has_its_own_order_and_a_seed_always_the_same_ones():
    first, again, other = (Loader(np.arange(50), batch_size=8, shuffle=True, seed=seed) for seed in (3, 3, 4))
    epochs = [rows(first), rows(first)]
    assert epochs[0] != epochs[1]
    assert epochs == [rows(again), rows(again)]
    assert epochs[0] != rows(other)


def test_nothing_else_that_draws_random_numbers_changes_the_order():
    first, again = (Loader(np.arange(50), batch_size=8, shuffle=True) for _ in range(2))
    expected = rows(first)
    parts = []
    for (x,) in again:
        np.random.default_rng(0).random(5)
        rows(Loader(np.arange(9), batch_size=2, shuffle=True))
        parts.append(x.tolist())
    assert parts == expected


@given(stop=st.integers(0, 12), shuffle=st.booleans())
def test_a_loader_that_gets_a_state_goes_on_with_the_very_next_batch(stop, shuffle):
    def make():
        return Loader(
            np.arange(180, dtype=np.uint8).reshape(20, 3, 3), batch_size=4, shuffle=shuffle, transform=RandomShift(1)
        )

    def endless(loader):
        while True:
            yield from (x.tolist() for (x,) in loader)

    whole, halted, resumed = make(), make(), make()
    expected = list(itertools.islice(endless(whole), 17))
    assert list(itertools.islice(endless(halted), stop)) == expected[:stop]
    resumed.load_state_dict({name: np.array(value) for name, value in halted.state_dict().items()})
    assert list(itertools.islice(endless(resumed), 17 - stop)) == expected[stop:]


def test_a_pass_that_was_left_early_is_not_taken_up_again_but_by_its_state():
    loader = Loader(np.arange(6), batch_size=2)
    next(iter(loader))
    assert rows(loader) == [[0, 1], [2, 3], [4, 5]]
    assert loader.state_dict() == {"seed": 0, "epoch": 2, "batch": 0}


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({"seed": 1, "epoch": 0}, "a seed, an epoch and a batch, not"),
        ({"seed": 1, "epoch": 0, "batch": 0, "more": 1}, "a seed, an epoch and a batch, not"),
        ({"seed": 1, "epoch": 0, "batch": 4}, "stands at batch 4, but an epoch has 3 here"),
        ({"seed": 1, "epoch": -1, "batch": 0}, "epoch must be zero or above"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(state, complaint):
    loader = Loader(np.arange(6), batch_size=2, seed=5)
    with pytest.raises(ValueError, match=complaint):
        loader.load_state_dict(state)
    assert loader.state_dict() == {"seed": 5, "epoch": 0, "batch": 0}


def test_batches_in_order_are_views():
    x = np.arange(10)
    assert all(np.shares_memory(part, x) for (part,) in Loader(x, batch_size=3))


def test_a_memory_mapped_array_is_read_batch_by_batch(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(40).reshape(20, 2))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    loader = Loader(mapped, batch_size=6, shuffle=True)
    assert np.shares_memory(loader.columns[0], mapped)
    parts = [part for (part,) in loader]
    assert not any(np.shares_memory(part, mapped) for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts), axis=0), mapped)


def test_transforms_apply_in_their_order_and_to_the_first_array_only():
    def double(x, _rng):
        return 2 * x

    loader = Loader(np.arange(4), np.arange(4), batch_size=2, transform=[double, lambda x, _rng: x + 1])
    assert [(x.tolist(), y.tolist()) for x, y in loader] == [([1, 3], [0, 1]), ([5, 7], [2, 3])]


@pytest.mark.parametrize(
    ("arrays", "options", "error", "complaint"),
    [
        ((), {}, ValueError, "needs one or more arrays with at least one row each"),
        ((np.zeros((0, 3)),), {}, ValueError, r"at least one row each; got shapes \[\(0, 3\)\]"),
        ((np.ones(3), np.ones(2)), {}, ValueError, "all arrays must have the same length"),
        ((np.ones(3),), {"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ((np.ones(3),), {"batch_size": 2.0}, TypeError, r"batch_size must be an integer, not 2\.0"),
        ((np.ones(3),), {"seed": 0.5}, TypeError, "the seed must be an integer; got 0.5"),
        ((np.ones(3),), {"seed": -1}, ValueError, "the seed must be zero or above; got -1"),
        ((np.ones(3),), {"transform": [3]}, TypeError, "3 cannot be called"),
    ],
)
def test_errors_come_at_once(arrays, options, error, complaint):
    with pytest.raises(error, match=complaint):
        Loader(*arrays, **{"batch_size": 1, **options})


# ------------------------------------------------------------------------------------------------------- transforms


@pytest.mark.parametrize(("dtype", "result"), [(np.uint8, np.float32), (np.float32, np.float32), (float, float)])
def test_normalizing_keeps_floats_and_makes_float32_of_integers(dtype, result):
    images = np.array([[0, 100], [200, 50]], dtype)
    before = images.copy()
    normalized = Normalize(100, 50)(images)
    np.testing.assert_array_equal(normalized, np.array([[-2, 0], [2, -1]], result), strict=True)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_normalized_data_has_mean_0_and_deviation_1(axis):
    data = np.random.default_rng(0).normal(5, 3, (200, 4))
    normalized = Normalize.of(data, axis)(data)
    np.testing.assert_allclose(normalized.mean(axis), 0, atol=1e-12)
    np.testing.assert_allclose(normalized.std(axis), 1, atol=1e-12)


def test_what_never_varies_is_not_divided_by_zero():
    assert Normalize.of(np.full((3, 2), 7.0), axis=0)(np.full((1, 2), 8.0)).tolist() == [[1, 1]]


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("value", [0.1, 1 / 3, 1000.1, 1e-200])
def test_what_never_varies_is_only_shifted_however_its_mean_is_rounded(value, axis):
    rows = np.full((1000, 1), value)
    normalize = Normalize.of(rows, axis)
    assert not normalize(rows).any()
    np.testing.assert_allclose(normalize(rows + 1), 1)


def test_what_varies_too_little_for_a_deviation_is_only_shifted():
    assert abs(Normalize.of(np.array([0, 1e-200]))(np.array([1.0]))) == 1


@pytest.mark.parametrize(("mean", "std"), [(0, 0), (0, -1), (np.nan, 1), (0, np.inf), (0, [1, 0])])
def test_what_cannot_normalize_is_an_error(mean, std):
    with pytest.raises(ValueError, match="must be finite, and std above zero"):
        Normalize(mean, std)


@pytest.mark.parametrize("shape", [(40, 5, 7), (40, 5, 7, 3)])
@pytest.mark.parametrize("pixels", [0, 1, 2, 9])
def test_shifted_images_are_the_images_with_zeros_moved_in(shape, pixels):
    images = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
    shifted = RandomShift(pixels)(images, np.random.default_rng(1))
    assert (shifted.shape, shifted.dtype) == (images.shape, images.dtype)
    seen = set()
    for image, moved in zip(images, shifted, strict=True):
        fits = [
            (down, right)
            for down in range(-pixels, pixels + 1)
            for right in range(-pixels, pixels + 1)
            if np.array_equal(moved, by_hand(image, down, right))
        ]
        assert fits
        seen.update(fits)
    if pixels in (0, 1):
        assert len(seen) == (2 * pixels + 1) ** 2


def by_hand(image, down, right):
    result = np.zeros_like(image)
    for y, x in itertools.product(range(image.shape[0]), range(image.shape[1])):
        if 0 <= y - down < image.shape[0] and 0 <= x - right < image.shape[1]:
            result[y, x] = image[y - down, x - right]
    return result


def test_only_images_can_be_shifted_and_by_no_less_than_nothing():
    with pytest.raises(ValueError, match=r"needs images, .* got \(2, 64\)"):
        RandomShift(1)(np.ones((2, 64)), np.random.default_rng(0))
    with pytest.raises(ValueError, match="RandomShift: pixels must be at least 0, not -1"):
        RandomShift(-1)
    with pytest.raises(TypeError, match=r"RandomShift: pixels must be an integer, not 1\.5"):
        RandomShift(1.5)
