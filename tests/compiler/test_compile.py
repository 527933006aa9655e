"""A compiled function gives what the function itself gives, bit for bit."""

import gc
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.compiler.capture import Tape
from tinygrad_np.graph import capturing
from tinygrad_np.state import on_tape


def bits(tree: Any) -> Any:
    """Something that is equal only for the same elements, dtypes and shapes."""
    if isinstance(tree, dict):
        return {key: bits(item) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        return [bits(item) for item in tree]
    if tree is None:
        return None
    array = tree.data if isinstance(tree, tg.Tensor) else np.asarray(tree)
    return array.tobytes(), array.shape, array.dtype


def assert_same_on(function: Callable[..., Any], *calls: tuple[Any, ...]) -> Any:
    """The compiled function equals the function on several calls of one signature, and captured it once."""
    compiled = tg.compile(function)
    for args in calls:
        assert bits(compiled(*args)) == bits(function(*args))
    assert compiled.captures == 1
    return compiled


def arrays(shape: tuple[int, ...], count: int = 3, dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for _ in range(count)]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.tanh(x) * 2 + 1,
        lambda x: np.sum(x, axis=0) @ np.ones(5),
        lambda x: x.T @ x,
        lambda x: x[1:, ::-1] / (1 + x[:-1] ** 2),
        lambda x: np.where(x > 0, np.log(np.abs(x) + 1), x),
        lambda x: np.concatenate([x, -x], axis=1).reshape(2, -1),
        lambda x: np.sort(x, axis=None)[::2],
        lambda x: np.linalg.svd(x, full_matrices=False),
        lambda x: np.einsum("ij,ik->jk", x, x),
        lambda x: np.fft.rfft(x, axis=0),
        lambda x: np.take(tg.tensor(np.eye(20)), np.argsort(x[0]), axis=0),
        lambda x: np.take_along_axis(tg.tensor(np.eye(5)), np.argsort(x, axis=0), axis=0),
        tg.grad(lambda x: np.sum(x[:, np.argsort(x[0].data)][1])),
        lambda x: {"total": x.sum(), "parts": [x.max(axis=1), (x.argmax(), x.astype(np.float32))]},
        lambda x: tg.functions.softmax(x) - tg.functions.logsumexp(x, axis=1, keepdims=True),
        tg.grad(lambda x: np.sum(np.sin(x) ** 3)),
        tg.hessian(lambda x: np.sum(np.prod(x, axis=0) * x[0])),
        tg.jacobian(lambda x: np.tanh(x @ x.T)),
        lambda x: tg.jvp(lambda a: np.linalg.inv(a @ a.T), (x,), (x,)),
    ],
)
def test_any_function_of_arrays(function: Callable[..., Any]) -> None:
    with np.errstate(all="ignore"):
        assert_same_on(function, *[(x,) for x in arrays((4, 5))])


def test_tensors_come_back_as_tensors_and_arrays_as_arrays() -> None:
    compiled = tg.compile(lambda t, x: (t * 2, x * 2, 3, "text", None))
    t, x, *rest = compiled(tg.tensor([1.0]), np.array([1.0]))
    assert isinstance(t, tg.Tensor)
    assert isinstance(x, np.ndarray)
    assert rest == [3, "text", None]


def test_nested_arguments_and_results() -> None:
    class Pair(NamedTuple):
        first: Any
        second: Any

    def function(tree: dict[str, Any], scale: float) -> Pair:
        return Pair(tree["a"][0] * scale, {"b": tree["c"]})

    x, y = arrays((3,), 2)
    found = tg.compile(function)({"a": [x], "c": y}, scale=2.0)
    assert isinstance(found, Pair)
    assert bits(found) == bits(Pair(x * 2.0, {"b": y}))


OPTIMISERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=1e-2, weight_decay=1e-3),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-2, weight_decay=1e-3),
    "rmsprop with momentum": lambda p: optim.RMSprop(p, lr=1e-2, momentum=0.9, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-2, lr_decay=1e-2),
    "groups": lambda p: optim.AdamW([{"params": p[::2]}, {"params": p[1::2], "weight_decay": 0}], lr=1e-2),
}


SCHEDULES = {
    "constant": optim.Constant,
    "step": lambda o: optim.StepDecay(o, every=30, factor=0.3),
    "cosine": lambda o: optim.CosineDecay(o, steps=90, lowest=1e-3),
    "warm-up": lambda o: optim.WarmUp(optim.CosineDecay(o, steps=80), steps=10),
    "plateau": lambda o: optim.ReduceOnPlateau(o, factor=0.5, patience=3),
}


LAYERS = {
    "dropout": lambda: [nn.Flatten(), nn.Dense(20, 8), nn.Dropout(0.3)],
    "batch norm": lambda: [nn.Flatten(), nn.Dense(20, 8), nn.BatchNorm(8), nn.GELU()],
    "layer norm": lambda: [nn.LayerNorm((4, 5)), nn.Flatten(), nn.Dense(20, 8), nn.SiLU(), nn.LayerNorm(8)],
    "embedding": lambda: [nn.Embedding(20, 6), nn.Flatten(), nn.Dense(18, 8), nn.ELU()],
    "all of them": lambda: [
        *(nn.Dropout(0.1), nn.Flatten(), nn.BatchNorm(20), nn.Dense(20, 8), nn.LayerNorm(8), nn.LeakyReLU()),
        *(nn.Dropout(0.5), nn.BatchNorm(8)),
    ],
}


class TestTraining:
    """A whole step: forward, backward and update."""

    @pytest.mark.parametrize("name", OPTIMISERS)
    def test_100_steps_are_bit_for_bit_those_of_the_eager_loop(self, name: str) -> None:
        rng = np.random.default_rng(0)
        images, labels = rng.random((256, 20), np.float32), rng.integers(0, 4, 256)

        def training() -> tuple[nn.Module, optim.Optimizer, Callable[[np.ndarray], tg.Tensor]]:
            tg.manual_seed(0)
            model = nn.Sequential(nn.Dense(20, 16), nn.ReLU(), nn.Dense(16, 8), nn.ReLU(), nn.Dense(8, 4))
            optimiser = OPTIMISERS[name](model.parameters())

            def step(rows: np.ndarray) -> tg.Tensor:
                loss = nn.cross_entropy(model(np.take(images, rows, axis=0)), np.take(labels, rows))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                return loss

            return model, optimiser, step

        (eager, eager_optimiser, eager_step), (model, optimiser, step) = training(), training()
        compiled = tg.compile(step)
        for i in range(100):
            eager_optimiser.lr = optimiser.lr = 0.01 * (1 - i / 100)  # a schedule
            rows = rng.integers(0, 256, 32)
            assert bits(compiled(rows)) == bits(eager_step(rows)), i
            assert bits([p.data for p in model.parameters()]) == bits([p.data for p in eager.parameters()]), i
        assert bits([p.grad for p in model.parameters()]) == bits([p.grad for p in eager.parameters()])
        assert compiled.captures == 1

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_a_schedule_and_clipping_are_part_of_the_step(self, name: str) -> None:
        rng = np.random.default_rng(0)

        def training() -> tuple[nn.Module, optim.Optimizer, Callable[[np.ndarray, np.ndarray], Any]]:
            tg.manual_seed(0)
            model = nn.Sequential(nn.Dense(20, 16), nn.ReLU(), nn.Dense(16, 4))
            optimiser = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            schedule = SCHEDULES[name](optimiser)

            def step(x: np.ndarray, labels: np.ndarray) -> Any:
                loss = nn.cross_entropy(model(x), labels)
                optimiser.zero_grad()
                loss.backward()
                norm = optim.clip_grad_norm(model.parameters(), 0.5)
                optim.clip_grad_value(model.parameters(), 0.1)
                optimiser.step()
                schedule.step(*[loss] * isinstance(schedule, optim.ReduceOnPlateau))
                return loss, norm

            return model, optimiser, step

        (eager, eager_optimiser, eager_step), (model, optimiser, step) = training(), training()
        compiled = tg.compile(step)
        rates = set()
        for i in range(100):
            x, labels = rng.random((32, 20), np.float32), rng.integers(0, 4, 32)
            assert bits(compiled(x, labels)) == bits(eager_step(x, labels)), i
            assert bits([p.data for p in model.parameters()]) == bits([p.data for p in eager.parameters()]), i
            assert optimiser.lr == eager_optimiser.lr
            rates.add(optimiser.lr)
        assert compiled.captures == 1
        assert (len(rates) > 2) == (name != "constant")

    @pytest.mark.parametrize("name", LAYERS)
    def test_layers_that_draw_or_keep_what_they_saw_are_part_of_the_step(self, name: str) -> None:
        rng = np.random.default_rng(0)

        def training() -> tuple[nn.Module, Callable[[np.ndarray, np.ndarray], Any]]:
            tg.manual_seed(0)
            model = nn.Sequential(*LAYERS[name](), nn.Dense(8, 4))
            optimiser = optim.Adam(model.parameters(), lr=0.01)

            def step(x: np.ndarray, labels: np.ndarray) -> Any:
                loss = nn.cross_entropy(model(x), labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                return loss

            return model, step

        (eager, eager_step), (model, step) = training(), training()
        compiled = tg.compile(step)
        draws = [np.random.default_rng(1).bit_generator.state] * 2  # each has its own state of the one generator
        for i in range(100):
            x = rng.integers(0, 20, (32, 3)) if name == "embedding" else rng.random((32, 4, 5), np.float32)
            labels, results = rng.integers(0, 4, 32), []
            for which, run in enumerate((compiled, eager_step)):
                tg.random.generator().bit_generator.state = draws[which]
                results.append(bits(run(x, labels)))
                draws[which] = tg.random.generator().bit_generator.state
            assert results[0] == results[1], i
            assert bits(model.state_dict()) == bits(eager.state_dict()), i
        assert compiled.captures == 1
        before = bits(model.state_dict())
        with tg.no_grad():
            assert bits(tg.compile(model.eval())(x)) == bits(eager.eval()(x))
        assert bits(model.state_dict()) == before

    def test_gradients_accumulate_as_in_the_eager_loop(self) -> None:
        def accumulating() -> tuple[tg.Tensor, Callable[[np.ndarray], None]]:
            w = tg.tensor(np.ones(3), requires_grad=True)
            return w, lambda x: np.sum(w * x).backward()

        (eager_w, eager), (w, function) = accumulating(), accumulating()
        compiled = tg.compile(function)
        for x in arrays((3,), 4):
            eager(x)
            compiled(x)
            assert bits(w.grad) == bits(eager_w.grad)
        assert compiled.captures == 2  # once for a leaf without a gradient, once for one that has one

    def test_a_parameter_may_be_read_after_its_update(self) -> None:
        def training() -> tuple[tg.Tensor, Callable[[np.ndarray], Any]]:
            w = tg.tensor(np.ones(3), requires_grad=True)
            optimiser = optim.SGD([w], lr=0.1)

            def step(x: np.ndarray) -> Any:
                optimiser.zero_grad()
                np.sum((w * x) ** 2).backward()
                optimiser.step()
                with tg.no_grad():
                    return np.sum((w * x) ** 2)

            return w, step

        (eager_w, eager), (w, function) = training(), training()
        compiled = tg.compile(function)
        for x in arrays((3,), 4):
            assert bits(compiled(x)) == bits(eager(x))
            assert bits(w.data) == bits(eager_w.data)

    def test_gradients_and_results_that_are_old_elements_are_read_before_these_change(self) -> None:
        def training() -> tuple[list[tg.Tensor], Callable[[], Any]]:
            leaves = [tg.tensor([x, x], requires_grad=True) for x in (1.0, 4.0)]
            optimiser = optim.SGD(leaves, lr=0.5)

            def step() -> Any:
                optimiser.zero_grad()
                np.sum(leaves[0] * leaves[1]).backward()
                before = leaves[0].data * 1
                optimiser.step()
                return before

            return leaves, step

        (eager_leaves, eager), (leaves, function) = training(), training()
        compiled = tg.compile(function)
        for _ in range(3):
            assert bits(compiled()) == bits(eager())
            for mine, theirs in zip(leaves, eager_leaves, strict=True):
                assert bits([mine.data, mine.grad]) == bits([theirs.data, theirs.grad])


class TestMemory:
    def test_a_replay_writes_into_the_same_buffers(self) -> None:
        compiled = tg.compile(lambda x: np.sum(np.exp(np.tanh(x) * 2 + 1) - 3))
        x = np.zeros((100, 100))
        compiled(x)
        assert len(compiled.program.buffers) == 1  # each operation works in place on the result before it
        memory = [b.ctypes.data for b in compiled.program.buffers]
        compiled(x)
        assert memory == [b.ctypes.data for b in compiled.program.buffers]

    def test_the_update_is_written_straight_into_the_parameter(self) -> None:
        w = tg.tensor(np.ones(5), requires_grad=True)
        optimiser = optim.SGD([w], lr=0.5)

        @tg.compile
        def step(x: np.ndarray) -> None:
            optimiser.zero_grad()
            np.sum(w * x).backward()
            optimiser.step()

        before = w.data
        step(np.ones(5))
        assert w.data is before
        functions = [call.function for call in step.program.steps]
        assert np.copyto not in functions[functions.index(np.subtract) :]
        np.testing.assert_array_equal(before, 0.5)

    def test_what_a_capture_has_computed_is_gone_before_the_garbage_collector_comes(self) -> None:
        leaf, state, tape = tg.tensor(np.ones(3), requires_grad=True)._node, np.ones(3), Tape()
        token = capturing.set(tape)
        gc.disable()
        try:
            y = tape.input(np.ones(3), 0) * 2
            tape.set_grad(leaf, y)
            stored = tape.storage(state)
            tape.write(stored, y + 1)
            arrays = [weakref.ref(y.array), weakref.ref(stored.array)]
            program = tape.finish(None)
            capturing.reset(token)
            del tape, token, y, stored
            assert [array() for array in arrays] == [None, None]
        finally:
            gc.enable()
        assert len(program.stores) == len(program.grads) == 1

    def test_what_comes_before_an_update_is_computed_in_the_same_array(self) -> None:
        mean = np.zeros((4, 5))

        def lerp(x: np.ndarray) -> None:
            m, half = on_tape(mean), x / 2
            np.subtract(m, half, out=m)
            np.multiply(m, 0.9, out=m)
            np.add(m, half, out=m)

        compiled = tg.compile(lerp)
        for i in range(3):
            compiled(np.full((4, 5), 2 * i))
        assert len(compiled.program.buffers) == 1  # for the half
        np.testing.assert_array_equal(mean, 0.9 * (0.1 - 2) + 2)

    @pytest.mark.parametrize("needed", ["the old elements", "what came before the update"])
    def test_what_comes_before_an_update_is_elsewhere_if_more_than_the_update_is_needed(self, needed: str) -> None:
        def counting() -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
            state = np.ones(3)

            def step(x: np.ndarray) -> Any:
                m = on_tape(state)
                twice = m * 2
                change = m - x
                np.add(twice, 1, out=m)
                return change if needed == "the old elements" else twice + x

            return state, step

        (eager_state, eager), (state, function) = counting(), counting()
        compiled = tg.compile(function)
        for x in arrays((3,), 4):
            assert bits(compiled(x)) == bits(eager(x))
            assert bits(state) == bits(eager_state)

    def test_an_argument_may_be_the_state_that_is_updated(self) -> None:
        state, eager_state = np.arange(4.0), np.arange(4.0)

        def step(x: np.ndarray, state: np.ndarray) -> None:
            s = on_tape(state)
            np.add(s - 1, x, out=s)

        compiled = tg.compile(lambda x: step(x, state))
        for x, eager_x in ((np.ones(4), np.ones(4)), (state, eager_state), (state, eager_state)):
            compiled(x)
            step(eager_x, eager_state)
            np.testing.assert_array_equal(state, eager_state)

    @pytest.mark.parametrize("kind", [np.ndarray, type("Mine", (np.ndarray,), {})])
    def test_views_of_subclasses_are_views(self, kind: Any) -> None:
        def function(x: Any) -> Any:
            return np.sum(np.exp(x).T * np.tanh(np.exp(x + 1)).T)

        x = np.arange(6.0).reshape(2, 3)
        assert bits(tg.compile(function)(x.view(kind))) == bits(function(x))

    def test_an_array_that_is_copied_to_keeps_its_order(self) -> None:
        state = np.asfortranarray(np.zeros((40, 3)))

        def function(x: np.ndarray) -> Any:
            s = on_tape(state)
            np.copyto(s, x)
            return np.sum(s, axis=0)

        (x,) = arrays((40, 3), 1)
        compiled = tg.compile(function)
        for _ in range(2):
            assert bits(compiled(x)) == bits(np.sum(np.asfortranarray(x), axis=0))

    def test_what_comes_before_an_update_is_elsewhere_if_a_call_between_them_may_raise(self) -> None:
        state = np.ones(3)

        @tg.compile
        def step(logits: np.ndarray, labels: np.ndarray) -> Any:
            m = on_tape(state)
            twice = m * 2
            loss = tg.nn.cross_entropy(logits, labels)
            np.add(twice, 1, out=m)
            return loss

        logits = np.zeros((2, 3))
        step(logits, np.array([0, 1]))
        with pytest.raises(ValueError, match="labels must be from 0 to 2"):
            step(logits, np.array([0, 7]))
        np.testing.assert_array_equal(state, 3)


class TestReading:
    def test_a_program_prints_one_line_a_call(self) -> None:
        compiled = tg.compile(lambda x: np.sum(np.exp(x) @ np.ones((3, 2), np.float32), axis=0))
        assert compiled.program is None
        compiled(np.zeros((4, 3), np.float32))
        text = str(compiled.program)
        assert "float32[4, 3] = np.exp(v1)  # buffer 0" in text
        assert "np.matmul" in text
        assert "np.sum" in text
        assert text.count("\n") < 10

    def test_it_keeps_the_name_and_docstring_of_the_function(self) -> None:
        @tg.compile
        def double(x: np.ndarray) -> np.ndarray:
            """Twice x."""
            return x * 2

        assert (double.__name__, double.__doc__) == ("double", "Twice x.")

    def test_a_method_can_be_compiled(self) -> None:
        class Scaler:
            factor = 3.0

            @tg.compile
            def scale(self, x: np.ndarray) -> np.ndarray:
                return x * self.factor

        np.testing.assert_array_equal(Scaler().scale(np.ones(2)), [3.0, 3.0])


class TestSignatures:
    """What makes a new capture."""

    @pytest.mark.parametrize(
        "other",
        [
            np.zeros((2, 2)),
            np.zeros(4, np.float32),
            np.zeros(8)[::2],
            np.zeros(4)[::-1],
        ],
    )
    def test_shape_dtype_and_layout(self, other: np.ndarray) -> None:
        compiled = tg.compile(lambda x: np.cumsum(x + 1))
        compiled(np.zeros(4))
        assert bits(compiled(other)) == bits(np.cumsum(other + 1))
        assert compiled.captures == 2

    @pytest.mark.parametrize(("first", "second"), [(1, 1.0), (1, True), (0.0, -0.0), (2, 3), ("a", "b")])
    def test_python_arguments(self, first: Any, second: Any) -> None:
        compiled = tg.compile(lambda x, option: x * 2 if isinstance(option, str) else x * option)
        compiled(np.ones(2, np.float32), first)
        compiled(np.ones(2, np.float32), second)
        compiled(np.ones(2, np.float32), first)
        assert compiled.captures == 2

    def test_recording(self) -> None:
        w = tg.tensor([1.0], requires_grad=True)
        compiled = tg.compile(lambda x: w * x)
        with tg.no_grad():
            assert not compiled(np.ones(1)).requires_grad
        assert compiled(np.ones(1)).requires_grad
