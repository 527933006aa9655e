"""Arrays that live long start at a cache line, and are otherwise what NumPy would have made."""

import ctypes
import os
import platform
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_np as tg
from tinygrad_np.memory import CACHE_LINE, aligned, aligned_bytes, keep_some_freed_memory, laid_out

DTYPES = [np.float16, np.float32, np.float64, np.complex128, np.int8]


def starts_at_a_line(array):
    return array.ctypes.data % CACHE_LINE == 0


def shifted(array):
    """The same numbers, a few elements after the start of a line."""
    memory = aligned_bytes(array.nbytes + array.itemsize)[array.itemsize :]
    result = laid_out(memory, array)
    np.copyto(result, array)
    return result


@given(st.data(), st.sampled_from(DTYPES))
def test_a_copy_has_the_same_elements_and_the_same_order_of_axes(data, dtype):
    shape = (4096, *data.draw(st.lists(st.integers(1, 4), max_size=3)))
    axes = data.draw(st.permutations(range(len(shape))))
    array = shifted((np.arange(np.prod(shape)) % 100).reshape(shape).astype(dtype)).transpose(axes)
    copy = aligned(array)
    assert starts_at_a_line(copy)
    assert not starts_at_a_line(array)
    for mine, theirs, length in zip(copy.strides, array.strides, array.shape, strict=True):
        assert mine == theirs or length == 1
    np.testing.assert_array_equal(copy, array, strict=True)


def test_small_arrays_and_those_in_their_place_are_not_copied():
    small = shifted(np.zeros(10))
    large = aligned(shifted(np.zeros(1000)))
    assert aligned(small) is small
    assert aligned(large) is large


def test_empty_memory_and_scalars():
    assert aligned_bytes(0).size == 0
    assert laid_out(aligned_bytes(8), np.float64(3)).shape == ()
    assert laid_out(aligned_bytes(0), np.zeros((3, 0, 2))).shape == (3, 0, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_leaf_is_a_copy_that_starts_at_a_line(dtype, order):
    array = shifted(np.asarray(np.ones((70, 80), dtype), order=order))
    leaf = tg.tensor(array, requires_grad=True)
    assert starts_at_a_line(leaf.data)
    assert leaf.data.flags[f"{order}_CONTIGUOUS"]
    assert not np.may_share_memory(leaf.data, array)


def test_what_is_no_array_of_numbers_is_refused_as_when_it_is_small():
    with pytest.raises(tg.errors.DtypeError, match="holds numbers, not dtype object"):
        tg.tensor(np.array([None] * 1000), requires_grad=True)


@pytest.mark.parametrize("kind", [tg.optim.SGD, tg.optim.Adam, tg.optim.AdamW, tg.optim.RMSprop, tg.optim.Adagrad])
def test_what_a_training_step_reads_and_writes_starts_at_a_line(kind):
    layer = tg.nn.Dense(100, 50)
    options = {"momentum": 0.9} if kind is tg.optim.SGD else {}
    optimiser = kind(layer.parameters(), **options)
    large = [layer.weight.data, *optimiser._scratch[0], *(a for a in optimiser._state[0].values() if a.shape)]
    assert len(large) >= 4
    assert all(map(starts_at_a_line, large))


def test_a_leaf_that_is_made_while_a_step_is_captured():
    @tg.compile
    def doubled(x):
        leaf = tg.tensor(x, requires_grad=True)
        np.sum(leaf * leaf).backward()
        return leaf.grad

    x = np.arange(2000.0)
    for _ in range(3):
        np.testing.assert_array_equal(doubled(x), 2 * x)


# ------------------------------------------------------------------------------------------- memory that was freed

FAULTS = """
import resource, sys
import numpy as np
import tinygrad_np as tg

_, setting, count = sys.argv
if setting == "all":
    print(tg.keep_freed_memory())
if setting in ("some", "all"):
    np.sum(tg.tensor([1.0], requires_grad=True)).backward()
for step in range(110):
    arrays = [np.ones(50_000) for _ in range(int(count))]
    if step == 9:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del arrays
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 100)
"""

only_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")


def printed(*arguments, **environment):
    """What the script prints, the last line as a number: page faults a step."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, faults = done.stdout.split()
    return [*lines, float(faults)]


@only_glibc
def test_after_a_first_gradient_memory_that_was_freed_is_used_again_without_page_faults():
    (without,), (faults,) = printed("none", "20"), printed("some", "20")
    assert without > 500  # 8 MB are 2,000 pages
    assert faults < 10


@only_glibc
def test_as_much_as_there_is_only_after_being_told():
    (some,), (told, faults) = printed("some", "200"), printed("all", "200")
    assert told == "True"
    assert some > 1000  # of the 80 MB, 64 are kept
    assert faults < 10


@only_glibc
def test_who_has_set_the_tunables_has_their_way():
    (faults,) = printed("some", "20", MALLOC_TRIM_THRESHOLD_="131072")
    assert faults > 500


def test_no_array_of_a_large_size_is_made_to_that_end():
    tracemalloc.start()
    try:
        keep_some_freed_memory.__wrapped__()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("library", [object(), OSError(), TypeError()])
def test_elsewhere_nothing_is_told(monkeypatch, library):
    def load(name):
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert tg.keep_freed_memory() is False
    assert keep_some_freed_memory.__wrapped__() is None
