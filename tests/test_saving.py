from __future__ import annotations

import io
import itertools
import os
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_np as tg
from tinygrad_np.saving import SavedFileError, load, save

KEYS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\"), min_size=1, max_size=20)
ARRAYS = hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
STATES = st.dictionaries(KEYS, ARRAYS, max_size=4)
EXAMPLE = {"0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "0.bias": np.zeros(3), "step": np.array(7)}

uses_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_same(loaded, state):
    assert list(loaded) == list(state)
    for key, array in state.items():
        assert loaded[key].dtype == array.dtype
        np.testing.assert_array_equal(loaded[key], array, strict=True)


@uses_tmp_path
@given(state=STATES)
def test_everything_comes_back(tmp_path, state):
    save(tmp_path / "state.npz", state)
    assert_same(load(tmp_path / "state.npz"), state)


def test_keys_that_trip_numpys_own_functions(tmp_path):
    state = {name: np.array(i) for i, name in enumerate(["file", "allow_pickle", "a", "a.npy", "x/y", "../up", "é"])}
    save(tmp_path / "state.npz", state)
    assert_same(load(tmp_path / "state.npz"), state)


def test_layouts_are_kept_in_value(tmp_path):
    base = np.arange(24.0).reshape(4, 6)
    state = {"fortran": np.asfortranarray(base), "strided": base[::2, ::-3], "read only": np.broadcast_to(1.5, (3, 2))}
    save(tmp_path / "state.npz", state)
    loaded = load(tmp_path / "state.npz")
    assert_same(loaded, state)
    assert all(array.flags.writeable for array in loaded.values())


def test_numpy_reads_ours_and_we_read_numpys(tmp_path):
    save(tmp_path / "ours.npz", EXAMPLE)
    with np.load(tmp_path / "ours.npz", allow_pickle=False) as archive:
        assert_same(dict(archive), EXAMPLE)
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "numpys.npz", **EXAMPLE)
        assert_same(load(tmp_path / "numpys.npz"), EXAMPLE)


def test_equal_states_make_equal_files(tmp_path):
    save(tmp_path / "one.npz", EXAMPLE)
    save(tmp_path / "two.npz", {key: array.copy() for key, array in EXAMPLE.items()})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_the_name_is_used_as_spelled(tmp_path):
    save(str(tmp_path / "weights"), EXAMPLE)
    assert os.listdir(tmp_path) == ["weights"]


@pytest.mark.parametrize(
    ("state", "error", "complaint"),
    [
        ({"w": np.array([None])}, TypeError, r"state\['w'\] has dtype object, which only pickle could store"),
        ({"w": np.zeros(2, [("a", object)])}, TypeError, r"state\['w'\] has dtype .*only pickle"),
        ({"w": tg.nn.Dense(2, 1).weight}, TypeError, r"w'\] is a Tensor, .* use t\.data, or model\.state_dict\(\)"),
        ({"w": [1.0, 2.0]}, TypeError, r"state\['w'\] is a list, not an ndarray; use np.asarray"),
        ({"w": {"nested": np.ones(1)}}, TypeError, r"state\['w'\] is a dict, not an ndarray"),
        ({3: np.ones(1)}, TypeError, "the key 3 is a int; keys must be strings"),
        ({"": np.ones(1)}, ValueError, "the key '' cannot be kept"),
        ({"a\0b": np.ones(1)}, ValueError, r"the key 'a\\x00b' cannot be kept"),
        ({"a\\b": np.ones(1)}, ValueError, "cannot be kept"),
        ({"\ud800": np.ones(1)}, ValueError, "cannot be kept"),
        ({70_000 * "w": np.ones(1)}, ValueError, r"the key 'w{20}'\.\.\. of 70000 characters is too long for .npz"),
        ({40_000 * "é": np.ones(1)}, ValueError, "is too long for .npz; shorten it"),
        ({"w": np.ma.array([1, 2], mask=[0, 1])}, TypeError, r"state\['w'\] is a masked array, .* save array\.filled"),
    ],
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path, state, error, complaint):
    save(tmp_path / "state.npz", EXAMPLE)
    with pytest.raises(error, match=complaint):
        save(tmp_path / "state.npz", {"first": np.ones(3), **state})
    assert os.listdir(tmp_path) == ["state.npz"]
    assert_same(load(tmp_path / "state.npz"), EXAMPLE)


def test_the_longest_key_of_a_zip_file_is_kept(tmp_path):
    key = (0xFFFF - len(".npy")) * "w"
    save(tmp_path / "state.npz", {key: np.ones(1)})
    assert list(load(tmp_path / "state.npz")) == [key]


def test_safetensors_takes_long_keys_but_not_the_one_that_means_something_else_there(tmp_path):
    pytest.importorskip("safetensors")
    save(tmp_path / "state.safetensors", {70_000 * "w": np.ones(1)})
    assert list(load(tmp_path / "state.safetensors")) == [70_000 * "w"]
    with pytest.raises(ValueError, match="the key '__metadata__' cannot be kept"):
        save(tmp_path / "state.safetensors", {"__metadata__": np.ones(1)})
    save(tmp_path / "state.npz", {"__metadata__": np.ones(1)})
    assert list(load(tmp_path / "state.npz")) == ["__metadata__"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    save(tmp_path / "state.npz", EXAMPLE)

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "state.npz", {"other": np.ones(1000)})
    assert os.listdir(tmp_path) == ["state.npz"]
    assert_same(load(tmp_path / "state.npz"), EXAMPLE)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_goes_unseen(tmp_path, data):
    path = tmp_path / "state.npz"
    save(path, EXAMPLE)
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut short"):
        del raw[data.draw(st.integers(0, len(raw) - 1), label="length") :]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1), label="at")] ^= data.draw(st.integers(1, 255), label="flip")
    path.write_bytes(raw)
    complaint = None
    try:
        loaded = load(path)
    except SavedFileError as error:
        complaint = str(error)
    if complaint is None:
        assert_same(loaded, EXAMPLE)  # some bytes of a zip, such as the time of day, mean nothing
    else:
        assert str(path) in complaint
        assert "Use another copy" in complaint


def test_no_flipped_bit_in_the_directory_goes_unseen(tmp_path):
    """No checksum covers the archive's directory, and a wrong length there can hide the arrays that follow."""
    path = tmp_path / "state.npz"
    save(path, EXAMPLE)
    raw = path.read_bytes()
    for position, bit in itertools.product(range(raw.index(b"PK\1\2"), len(raw)), range(8)):
        damaged = bytearray(raw)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            loaded = load(path)
        except SavedFileError:
            continue
        assert_same(loaded, EXAMPLE)


class Bomb:
    def __reduce__(self):
        return (os.abort, ())


def test_pickles_are_refused_and_not_run(tmp_path):
    np.savez(tmp_path / "state.npz", weight=np.array([Bomb()], dtype=object))
    with pytest.raises(SavedFileError, match="allow_pickle=False"):
        load(tmp_path / "state.npz")


def test_a_lone_array_a_foreign_zip_and_trailing_bytes_are_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.ones(3))
    with zipfile.ZipFile(tmp_path / "foreign.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    member = io.BytesIO()
    np.save(member, np.ones(3))
    with zipfile.ZipFile(tmp_path / "trailing.npz", "w") as archive:
        archive.writestr("w.npy", member.getvalue() + b"more")
    (tmp_path / "empty.npz").touch()
    for name, why in [
        ("array.npy", "not a zip file"),
        ("foreign.npz", "'readme.txt' in it is not an array"),
        ("trailing.npz", "followed by other bytes"),
        ("empty.npz", "not a zip file"),
    ]:
        with pytest.raises(SavedFileError, match=f"{name} cannot be loaded.*{why}"):
            load(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        load(tmp_path / "absent.npz")
