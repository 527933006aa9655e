"""Checkpoints: what is saved comes back, whole or not at all, and a run that was killed ends as if it never was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_np as tg
from tinygrad_np.data import Loader
from tinygrad_np.saving import CheckpointError, SavedFileError, load, load_checkpoint, save, save_checkpoint

ROOT = Path(__file__).parents[1]
SUFFIXES = [".npz", ".safetensors"]
uses_tmp_path = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def run_parts(width=3):
    model = tg.nn.Sequential(tg.nn.Dense(2, width), tg.nn.ReLU(), tg.nn.Dense(width, 2))
    optimiser = tg.optim.Adam(model.parameters(), lr=0.01)
    loader = Loader(np.random.default_rng(5).random((12, 2), np.float32), np.arange(12) % 2, batch_size=5, shuffle=True)
    return {"model": model, "optimiser": optimiser, "loader": loader, "random": tg.random.generator()}


def train(parts, steps):
    """As many steps, epoch after epoch; what is drawn from the library's generator takes part."""
    while steps:
        for x, y in parts["loader"]:
            loss = tg.nn.cross_entropy(parts["model"](x + tg.random.uniform(x.shape, x.dtype)), y)
            parts["optimiser"].zero_grad()
            loss.backward()
            parts["optimiser"].step()
            steps -= 1
            if not steps:
                break


def weights(parts):
    return {name: array.tobytes() for name, array in parts["model"].state_dict().items()}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("stop", [1, 3, 7])
def test_a_run_that_goes_on_from_a_checkpoint_ends_with_the_same_bits(tmp_path, suffix, stop):
    path = tmp_path / f"run{suffix}"
    for steps in (stop, 10):
        tg.manual_seed(1)
        parts = run_parts()
        train(parts, steps)
        if steps == stop:
            save_checkpoint(path, **parts, step=stop)
    expected = weights(parts)

    tg.manual_seed(2)
    parts = run_parts()
    assert load_checkpoint(path, **parts) == {"step": stop}
    train(parts, 10 - stop)
    assert weights(parts) == expected


@pytest.mark.parametrize(
    ("value", "error", "complaint"),
    [
        (
            {"a.b": 1.0, "a": {"b": 2.0}},
            ValueError,
            r"\('parts', 'value', 'a\.b'\) and at \('parts', 'value', 'a', 'b'\) would both be called",
        ),
        ({1: 1.0}, TypeError, r"value has the key 1, which would come back as text: make it one"),
        ({"a": {None: 1.0}}, TypeError, r"value\.a has the key None"),
    ],
)
def test_what_would_not_come_back_as_it_was_is_an_error_and_nothing_is_written(tmp_path, value, error, complaint):
    with pytest.raises(error, match=complaint):
        save_checkpoint(tmp_path / "run.npz", value=value)
    assert not list(tmp_path.iterdir())


class Counter:
    """A part that hands out what it has, not a copy, and writes into it."""

    def __init__(self, count):
        self.count = np.array(count)

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count[...] = state["count"]


class Refusing(Counter):
    def load_state_dict(self, state):
        raise self.complaint


@pytest.mark.parametrize("complaint", [RuntimeError("will not"), IndexError("will not"), AssertionError("will not")])
def test_nothing_is_loaded_whatever_a_part_raises(tmp_path, complaint):
    path = tmp_path / "run.npz"
    save_checkpoint(path, first=Counter(1), refusing=Counter(1), last=Counter(1))
    first, refusing, last = Counter(0), Refusing(0), Counter(0)
    refusing.complaint = complaint
    with pytest.raises(CheckpointError, match=r"run\.npz: refusing: will not") as caught:
        load_checkpoint(path, first=first, refusing=refusing, last=last)
    assert caught.value.__cause__ is complaint
    assert (first.count, last.count) == (0, 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values_come_back_by_name(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    history, nested = {"train_loss": [0.5, 0.25], "empty": []}, {"a": {"b.c": 1}, "d": {}}
    save_checkpoint(path, epoch=3, done=True, rate=0.1, grid=np.eye(2), history=history, nested=nested)
    loaded = load_checkpoint(path)
    assert list(loaded) == ["epoch", "done", "rate", "grid", "history", "nested"]
    assert (loaded["epoch"], loaded["done"], loaded["rate"]) == (3, True, 0.1)
    assert [type(loaded[name]) for name in ("epoch", "done", "rate")] == [int, bool, float]
    np.testing.assert_array_equal(loaded["grid"], np.eye(2), strict=True)
    assert {name: values.tolist() for name, values in loaded["history"].items()} == history
    assert loaded["nested"] == nested


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox,
                                  np.random.SFC64])  # fmt: skip
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_generator_goes_on_where_it_was(tmp_path, bits, suffix):
    rng, other = np.random.Generator(bits(1)), np.random.Generator(bits(2))
    rng.integers(0, 9, 7, np.int32)  # leaves half a word behind
    save_checkpoint(tmp_path / f"run{suffix}", rng=rng)
    expected = rng.integers(0, 9, 7, np.int32), rng.normal(size=5)
    load_checkpoint(tmp_path / f"run{suffix}", rng=other)
    np.testing.assert_array_equal(other.integers(0, 9, 7, np.int32), expected[0])
    np.testing.assert_array_equal(other.normal(size=5), expected[1])


def test_a_generator_of_another_kind_is_an_error(tmp_path):
    save_checkpoint(tmp_path / "run.npz", rng=np.random.default_rng(0))
    with pytest.raises(CheckpointError, match=r"rng: .*PCG64|rng: .*MT19937"):
        load_checkpoint(tmp_path / "run.npz", rng=np.random.Generator(np.random.MT19937(0)))


# ------------------------------------------------------------------------------------------------- what does not fit


@pytest.fixture
def path(tmp_path):
    save_checkpoint(tmp_path / "run.npz", **run_parts(), epoch=1)
    return tmp_path / "run.npz"


def test_what_differs_is_said_of_every_part_and_nothing_changes(path):
    parts = run_parts(width=4)
    train(parts, 2)
    before = weights(parts), parts["loader"].state_dict(), parts["random"].bit_generator.state
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, **parts)
    complaint = str(caught.value)
    assert str(path) in complaint
    assert "model: " in complaint
    assert "weight is (2, 4) in the model and (2, 3) here" in complaint
    assert "optimiser: " in complaint
    assert (weights(parts), parts["loader"].state_dict(), parts["random"].bit_generator.state) == before


def test_another_dtype_is_an_error(path):
    model = tg.nn.Sequential(tg.nn.Dense(2, 3, dtype=np.float64), tg.nn.ReLU(), tg.nn.Dense(3, 2))
    with pytest.raises(CheckpointError, match=r"model: .*weight is float64 in the model and float32 here"):
        load_checkpoint(path, partial=True, model=model)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda parts: parts.pop("optimiser"), "optimiser is in the file, but nothing was given.*partial=True"),
        (lambda parts: parts.update(schedule=parts["loader"]), "schedule is not in the file, which has model, opt"),
        (lambda parts: parts.update(random=parts["loader"]), "random is a generator in the file, not a state"),
        (lambda parts: parts.update(epoch=0), r"epoch has no load_state_dict\(\), and values are returned"),
    ],
)
def test_other_parts_are_an_error_that_names_them(path, change, complaint):
    parts = run_parts()
    before = weights(parts)
    unchanged = dict(parts)
    change(parts)
    with pytest.raises(CheckpointError, match=complaint):
        load_checkpoint(path, **parts)
    assert weights(unchanged) == before


def test_the_model_alone_can_be_taken_from_a_whole_run(path):
    model = run_parts()["model"]
    assert load_checkpoint(path, partial=True, model=model) == {"epoch": 1}
    np.testing.assert_array_equal(model.layers[0].weight.data, load(path)["parts.model.layers.0.weight"])


def test_weights_alone_are_no_checkpoint(tmp_path):
    save(tmp_path / "weights.npz", {"weight": np.ones(2)})
    with pytest.raises(SavedFileError, match="holds arrays, but is no checkpoint: read it with load"):
        load_checkpoint(tmp_path / "weights.npz")


@pytest.mark.parametrize(
    ("parts", "error", "complaint"),
    [
        ({"name": "mnist"}, TypeError, "name is 'mnist', and a checkpoint holds"),
        ({"nested": {"a": None}}, TypeError, r"nested\.a is None, and a checkpoint holds"),
        ({"ragged": [[1], [2, 3]]}, TypeError, r"ragged is \[\[1\], \[2, 3\]\], and a checkpoint holds"),
        ({"masked": np.ma.array([1, 2], mask=[0, 1])}, TypeError, r"masked'\] is a masked array, whose mask would be"),
        ({"partial": 1}, ValueError, "cannot be called 'partial'"),
        ({"a.b": 1}, ValueError, r"cannot be called 'a\.b'"),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_checkpoint(path, parts, error, complaint):
    before = path.read_bytes()
    with pytest.raises(error, match=complaint):
        save_checkpoint(path, **parts)
    assert path.read_bytes() == before


# ------------------------------------------------------------------------------------------------------------ damage


@pytest.fixture(params=SUFFIXES)
def small(request, tmp_path):
    path = tmp_path / f"run{request.param}"
    save_checkpoint(path, model=tg.nn.Dense(2, 2), epoch=1)
    return path


def assert_refused(whole, raw):
    path = whole.with_stem("damaged")
    path.write_bytes(raw)
    with pytest.raises(SavedFileError, match="cannot be loaded: it is cut short, altered, or not"):
        load_checkpoint(path, model=tg.nn.Dense(2, 2))


def test_every_flipped_byte_is_an_error(small):
    whole = small.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        assert_refused(small, damaged)


def test_every_cut_is_an_error(small):
    whole = small.read_bytes()
    for position in range(len(whole)):
        assert_refused(small, whole[:position])


@uses_tmp_path
@given(data=st.data())
def test_so_is_any_other_damage(small, data):
    whole = small.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.sampled_from(["flip", "cut", "insert", "drop", "swap"]))
    if damage == "flip":
        raw = bytearray(whole)
        raw[position] ^= data.draw(st.integers(1, 255))
    elif damage == "cut":
        raw = whole[:position]
    elif damage == "insert":
        raw = whole[:position] + data.draw(st.binary(min_size=1, max_size=9)) + whole[position:]
    elif damage == "drop":
        raw = whole[:position] + whole[position + data.draw(st.integers(1, 99)) :]
    else:
        raw = whole[position:] + whole[:position]
    if raw != whole:
        assert_refused(small, raw)


def test_an_absent_file_is_an_error_of_its_own(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        load_checkpoint(tmp_path / "absent.npz")


# ------------------------------------------------------------------------------------------------------- safetensors


def test_safetensors_reads_ours_and_we_read_theirs(tmp_path):
    from safetensors.numpy import load_file, save_file

    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    state = {"weight": base, "fortran": np.asfortranarray(base), "strided": base[::2, ::-3], "mask": base > 3}
    state |= {"swapped": base.astype(">f4"), "step": np.array(7), "empty": np.zeros((0, 3))}
    save(tmp_path / "ours.safetensors", state)
    save_file({name: np.ascontiguousarray(base) for name in ("a", "b")}, tmp_path / "theirs.safetensors")
    for loaded in (load_file(tmp_path / "ours.safetensors"), load(tmp_path / "ours.safetensors")):
        assert loaded.keys() == state.keys()
        for name, array in state.items():
            np.testing.assert_array_equal(loaded[name], array)
            assert loaded[name].shape == array.shape
    np.testing.assert_array_equal(load(tmp_path / "theirs.safetensors")["b"], base, strict=True)


def test_equal_states_make_equal_files(small, tmp_path):
    again = tmp_path / f"again{small.suffix}"
    model = tg.nn.Dense(2, 2)
    load_checkpoint(small, model=model)
    save_checkpoint(again, model=model, epoch=1)
    assert again.read_bytes() == small.read_bytes()


def test_what_safetensors_cannot_hold_is_an_error(tmp_path):
    with pytest.raises(TypeError, match=r"\.safetensors cannot hold one of these arrays .*; use \.npz"):
        save(tmp_path / "state.safetensors", {"name": np.array("mnist")})
    assert os.listdir(tmp_path) == []


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    (tmp_path / "there.safetensors").touch()
    for call in (lambda p: save(p, {"w": np.ones(1)}), load):
        with pytest.raises(ImportError, match=r'safetensors: pip install "tinygrad_np\[safetensors\]"'):
            call(tmp_path / "there.safetensors")


# ----------------------------------------------------------------------------------------------------------- kill -9


PROGRAM = """
import contextlib, os, signal, sys
import numpy as np
import tinygrad_np as tg
from tinygrad_np.data import Loader, RandomShift
from tinygrad_np import saving
from tinygrad_np.saving import load_checkpoint, save_checkpoint

path, final, epochs, deadly = sys.argv[1], sys.argv[2], 6, int(sys.argv[3])
write = saving.atomic_write

@contextlib.contextmanager
def fatal_write(path):
    "The deadly-th file to be written is only half there when the process ends."
    global deadly
    deadly -= 1
    with write(path) as file:
        yield Half(file) if deadly == 0 else file

class Half:
    def __init__(self, file):
        self.file = file

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

saving.atomic_write = fatal_write
tg.manual_seed(3)
rng = np.random.default_rng(4)
images, labels = rng.random((40, 4, 4), np.float32), rng.integers(0, 3, 40)
model = tg.nn.Sequential(tg.nn.Dense(16, 8), tg.nn.ReLU(), tg.nn.Dense(8, 3))
optimiser = tg.optim.Adam(model.parameters(), lr=0.01)
loader = Loader(images, labels, batch_size=3, shuffle=True, transform=RandomShift(1))
parts = {"model": model, "optimiser": optimiser, "loader": loader, "random": tg.random.generator()}
epoch, step = 0, 0
if os.path.exists(path):
    epoch, step = load_checkpoint(path, **parts).values()
print("ready", flush=True)
while epoch < epochs:
    for x, y in loader:
        noise = tg.random.uniform((len(x), 16), np.float32)
        loss = tg.nn.cross_entropy(model(x.reshape(-1, 16) + noise), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        save_checkpoint(path, **parts, epoch=epoch, step=step)
    epoch += 1
    optimiser.lr *= 0.9
    save_checkpoint(path, **parts, epoch=epoch, step=step)
assert step == epochs * len(loader)
save_checkpoint(final, model=model)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_killed_at_random_moments_ends_with_the_bits_of_the_run_never_stopped(tmp_path, suffix):
    program = tmp_path / "train.py"
    program.write_text(textwrap.dedent(PROGRAM))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}

    def start(name, deadly=0):
        files = [tmp_path / f"{name}{suffix}", tmp_path / f"{name}-end.npz"]
        arguments = [sys.executable, program, *files, deadly]
        return subprocess.Popen(list(map(str, arguments)), env=environment, stdout=subprocess.PIPE)

    began = time.monotonic()
    with start("whole") as process:
        process.stdout.readline()
        ready = time.monotonic()
        assert process.wait(timeout=60) == 0
    working = time.monotonic() - ready

    moments = random.Random(6)
    kills, deaths = 0, iter([1, 12, 1, 30])  # in which of its writes each of these runs is killed
    while not (tmp_path / "killed-end.npz").exists():
        assert time.monotonic() - began < 300
        deadly = next(deaths, 0)
        with start("killed", deadly) as process:
            process.stdout.readline()
            if not deadly and kills < 8:
                time.sleep(moments.uniform(0, working / 8))
                process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=60) in (0, -signal.SIGKILL)
            kills += process.returncode != 0
    assert kills >= 6
    assert (tmp_path / "killed-end.npz").read_bytes() == (tmp_path / "whole-end.npz").read_bytes()
