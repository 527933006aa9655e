"""What every optimiser does: find minima, in place and without allocating, and refuse what it cannot optimise."""

import copy
import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.graph import Node
from tinygrad_np.trees import leaves

MAKERS = {
    "SGD": lambda p, lr: optim.SGD(p, lr),
    "SGD with momentum": lambda p, lr: optim.SGD(p, lr, momentum=0.9),
    "SGD with Nesterov": lambda p, lr: optim.SGD(p, lr, momentum=0.9, nesterov=True),
    "SGD with everything": lambda p, lr: optim.SGD(p, lr, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "Adam": lambda p, lr: optim.Adam(p, lr),
    "Adam with decay": lambda p, lr: optim.Adam(p, lr, weight_decay=1e-4),
    "AdamW": lambda p, lr: optim.AdamW(p, lr, weight_decay=1e-4),
    "AdamW without decay": lambda p, lr: optim.AdamW(p, lr, weight_decay=0),
    "RMSprop": lambda p, lr: optim.RMSprop(p, lr),
    "RMSprop with momentum": lambda p, lr: optim.RMSprop(p, lr, momentum=0.9),
    "RMSprop with everything": lambda p, lr: optim.RMSprop(p, lr, 0.9, 1e-6, 1e-4, 0.5, centered=True),
    "Adagrad": lambda p, lr: optim.Adagrad(p, lr),
    "Adagrad with everything": lambda p, lr: optim.Adagrad(p, lr, 1e-3, 1e-4, 0.1),
}
ALL = [optim.SGD, optim.RMSprop, optim.Adagrad, optim.Adam, optim.AdamW]
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def leaf(values, dtype=np.float64):
    return tg.tensor(np.array(values, dtype), requires_grad=True)


SHARED = leaf([1.0])


def minimise(optimiser, parameter, loss, steps):
    for _ in range(steps):
        optimiser.zero_grad()
        loss(parameter).backward()
        optimiser.step()


def parabola(w):
    return np.sum(np.array([1.0, 3.0, 0.5]) * (w - np.array([1.0, -2.0, 3.0])) ** 2)


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


# ------------------------------------------------------------------------------------------------------------- minima


@pytest.mark.parametrize(
    ("make", "lr"),
    [
        *(("SGD", 0.1), ("SGD with momentum", 0.02), ("SGD with Nesterov", 0.02), ("Adam", 0.1)),
        *(("AdamW without decay", 0.1), ("RMSprop", 0.1), ("Adagrad", 1.0)),
    ],
)
def test_the_minimum_of_a_parabola_is_reached(make, lr):
    w = leaf([0.0, 0.0, 0.0])
    minimise(MAKERS[make]([w], lr), w, parabola, 1000)
    np.testing.assert_allclose(w.data, [1, -2, 3], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "lr", "steps"),
    [
        ("SGD", 1.5e-3, 13_000),
        ("SGD with momentum", 5e-4, 4_000),
        ("SGD with Nesterov", 5e-4, 4_000),
        ("Adam", 0.05, 4_000),
        ("AdamW without decay", 0.05, 4_000),
        ("RMSprop with momentum", 1e-3, 4_000),
        ("Adagrad", 1.0, 12_000),
    ],
)
def test_the_minimum_of_rosenbrocks_valley_is_reached(make, lr, steps):
    w = leaf([-1.2, 1.0])
    minimise(MAKERS[make]([w], lr), w, rosenbrock, steps)
    np.testing.assert_allclose(w.data, [1, 1], atol=1e-3)


# ----------------------------------------------------------------------------------------------------------- in place


@every
def test_a_step_writes_into_the_parameters_own_array_and_leaves_the_gradient_alone(make):
    w = leaf([[1.0, 2.0], [3.0, 4.0]])
    array = w.data
    np.sum(w * w).backward()
    gradient, before = w.grad, w.grad.copy()
    make([w], 0.1).step()
    assert w.data is array
    assert not np.any(array == [[1, 2], [3, 4]])
    assert w.grad is gradient
    np.testing.assert_array_equal(gradient, before)
    assert w.is_leaf
    assert w.requires_grad


@every
def test_backward_through_a_graph_from_before_the_step_is_refused(make):
    w = leaf([1.0, 2.0])
    optimiser = make([w], 0.1)
    old = np.sum(w * w)
    np.sum(w * w).backward()
    optimiser.step()
    with pytest.raises(tg.errors.StaleGraphError):
        old.backward()


@every
def test_no_graph_grows(make):
    w = leaf([1.0, 2.0, 0.0])
    optimiser = make([w], 1e-3)

    def nodes():
        gc.collect()
        return sum(issubclass(type(found), Node) for found in gc.get_objects())

    minimise(optimiser, w, parabola, 3)
    before = nodes()
    minimise(optimiser, w, parabola, 50)
    assert nodes() == before


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_allocates_nothing(make, dtype):
    """Nothing that grows with the parameters: a hundredth of the smaller one would be seen."""
    parameters = [leaf(np.ones((300, 400)), dtype), leaf(np.ones(300_000), dtype)]
    optimiser = make(parameters, 1e-3)
    for p in parameters:
        p.grad = np.ones(p.shape, dtype)
    optimiser.step()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    optimiser.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - before < parameters[0].size * parameters[0].dtype.itemsize / 100


@every
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_array_has_its_parameters_dtype_or_float32_for_float16(make, dtype):
    w = leaf([1.0, 2.0], dtype)
    optimiser = make([w], 0.1)
    w.grad = np.array([1.0, -1.0], dtype)
    optimiser.step()
    assert w.dtype == dtype
    kept = leaves(list(vars(optimiser).values()))
    as_large = {a.dtype for a in kept if isinstance(a, np.ndarray) and a.size == w.size}
    assert as_large == {np.promote_types(dtype, np.float32)}


@every
@given(data=st.data())
def test_no_parameter_is_updated_otherwise_because_of_the_others(make, data):
    """With and without gradients in any order, in groups and dtypes of all kinds: each goes where it would alone."""
    dtypes = data.draw(st.lists(st.sampled_from([np.float16, np.float32, np.float64]), min_size=1, max_size=4))
    starts = [np.random.default_rng(i).normal(size=i).astype(dtype) for i, dtype in enumerate(dtypes)]
    together, alone = ([leaf(start, start.dtype) for start in starts] for _ in range(2))
    cut = data.draw(st.integers(0, len(starts)))
    groups = [{"params": part} for part in (together[:cut], together[cut:]) if part]
    groups[-1]["lr"] = 0.25
    optimisers = [make(groups, 0.5), *(make([w], 0.5 if i < cut < len(starts) else 0.25) for i, w in enumerate(alone))]
    present = data.draw(st.lists(st.lists(st.booleans(), min_size=len(starts), max_size=len(starts)), max_size=5))
    for step, which in enumerate(present):
        for i, w in enumerate([*together, *alone]):
            i %= len(starts)
            gradient = np.random.default_rng(100 * step + i).normal(size=w.shape).astype(w.dtype)
            w.grad = gradient if which[i] else None
        for optimiser in optimisers:
            optimiser.step()
        for mine, theirs in zip(together, alone, strict=True):
            assert mine.data.tobytes() == theirs.data.tobytes()


@every
def test_float32_takes_the_steps_of_float64_up_to_rounding(make):
    narrow, wide = leaf([1.0, -2.0], np.float32), leaf([1.0, -2.0])
    for w in (narrow, wide):
        minimise(make([w], 0.01), w, lambda w: np.sum(w * w), 20)
    np.testing.assert_allclose(narrow.data, wide.data, rtol=1e-5)


@pytest.mark.parametrize("make", [m for name, m in MAKERS.items() if "SGD" not in name])
@pytest.mark.parametrize("size", [1e-4, 20, 300, 2e4])
def test_float16_takes_the_steps_of_float64_whatever_the_size_of_the_gradient(make, size):
    narrow, wide = leaf([0.0], np.float16), leaf([0.0])
    gradients = np.random.default_rng(0).uniform(0.5, 1.5, (200, 1)).astype(np.float16) * np.float16(size)
    for w in (narrow, wide):
        optimiser = make([w], 0.125)
        for gradient in gradients:
            w.grad = gradient.astype(w.dtype)
            optimiser.step()
    np.testing.assert_allclose(narrow.data, wide.data, rtol=0.05)


@every
def test_a_gradient_of_zero_moves_nothing_in_float16(make):
    w = leaf([0.0], np.float16)
    w.grad = np.zeros(1, np.float16)
    make([w], 0.1).step()
    assert w.data == 0


@every
def test_parameters_of_any_layout_and_shape_are_updated(make):
    values = np.random.default_rng(0).normal(size=(3, 4))
    plain, fortran = leaf(values), tg.tensor(np.asfortranarray(values), requires_grad=True)
    scalar, empty = leaf(2.0), leaf(np.ones((0, 3)))
    for p in (plain, fortran, scalar, empty):
        optimiser = make([p], 0.1)
        for _ in range(3):
            p.grad = np.array(2 * p.data)
            optimiser.step()
    np.testing.assert_array_equal(fortran.data, plain.data)
    assert scalar.shape == ()
    assert scalar.item() < 2


@every
def test_several_parameters_are_optimised_as_each_alone(make):
    """They share memory to compute in, but nothing else."""
    starts = [[1.0, 2.0, 3.0], [[4.0], [5.0]], 6.0]
    together = [leaf(values) for values in starts]
    alone = [leaf(values) for values in starts]
    optimisers = [make(together, 0.1), *(make([p], 0.1) for p in alone)]
    for _ in range(4):
        for optimiser in optimisers:
            for p in optimiser.parameters:
                p.grad = np.array(p.data**2)
            optimiser.step()
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@every
def test_the_same_run_twice_is_the_same_bit_for_bit(make):
    ends = []
    for _ in range(2):
        tg.manual_seed(0)
        model = nn.Sequential(nn.Dense(5, 8), nn.ReLU(), nn.Dense(8, 3))
        optimiser = make(model.parameters(), 0.01)
        x = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)
        for _ in range(10):
            optimiser.zero_grad()
            nn.cross_entropy(model(x), np.arange(16) % 3).backward()
            optimiser.step()
        ends.append(b"".join(p.data.tobytes() for p in model.parameters()))
    assert ends[0] == ends[1]


# ------------------------------------------------------------------------------------------- gradients, learning rate


@every
def test_parameters_without_a_gradient_are_skipped(make):
    used, unused = leaf([1.0]), leaf([2.0])
    optimiser = make([used, unused], 0.1)
    np.sum(used * used).backward()
    optimiser.step()
    assert used.item() < 1
    assert unused.item() == 2


@every
def test_zero_grad_forgets_the_gradients(make):
    w = leaf([1.0, 2.0])
    optimiser = make([w], 0.1)
    np.sum(w).backward()
    optimiser.zero_grad()
    assert w.grad is None
    optimiser.step()
    np.testing.assert_array_equal(w.data, [1, 2])


@every
def test_the_learning_rate_can_be_read_and_set_between_steps(make):
    w = leaf([1.0])
    optimiser = make([w], 0.25)
    assert optimiser.lr == 0.25
    assert type(optimiser.lr) is float
    w.grad = np.array([1.0])
    optimiser.lr = 0
    optimiser.step()
    assert w.item() == 1
    optimiser.lr = 0.5
    optimiser.step()
    assert w.item() < 1


@every
def test_what_changes_between_steps_is_in_arrays(make):
    """A replayed step sees what is in an array, and would not see a Python number change."""
    w = leaf([1.0, 2.0])
    optimiser = make([w], 0.1)

    def objects():
        return [id(leaf) for thing in (optimiser, *optimiser.param_groups) for leaf in leaves(dict(vars(thing)))]

    before = objects()
    w.grad = np.array([1.0, 1.0])
    optimiser.step()
    optimiser.lr = 0.2
    optimiser.step()
    assert objects() == before


def test_it_prints_its_options():
    w = leaf([1.0])
    assert repr(optim.SGD([w], 0.1, momentum=0.9)) == (
        "SGD(1 parameters, lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=False)"
    )
    assert repr(optim.Adam([w])) == "Adam(1 parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("optimiser", ALL)
@pytest.mark.parametrize(
    ("parameters", "error", "complaint"),
    [
        (list, ValueError, "there are no parameters to optimise; pass model.parameters"),
        (lambda: nn.ReLU().parameters(), ValueError, "there are no parameters"),
        (lambda: leaf([1.0]), TypeError, r"or of dicts, not one tensor of shape \(1,\): write \[t\]"),
        (lambda: [leaf([1.0]), np.ones(1)], TypeError, "parameter 1 is a ndarray, not a tensor"),
        (lambda: [tg.tensor([1.0])], ValueError, r"parameter 0 of shape \(1,\) does not require a gradient: make it"),
        (lambda: [leaf([1.0]), leaf([1.0]) * 2], ValueError, r"parameter 1 of shape \(1,\) is a result, not a leaf"),
        (lambda: [leaf([1.0])] * 2, ValueError, "a parameter is there twice"),
        (lambda: nn.Dense(2, 2), TypeError, r"list of tensors, not a Dense: pass model\.parameters\(\)"),
        (lambda: nn.Dense(2, 2).named_parameters(), TypeError, "parameter 0 is a tuple, not a tensor"),
    ],
)
def test_what_cannot_be_optimised_is_refused(optimiser, parameters, error, complaint):
    with pytest.raises(error, match=f"^{optimiser.__name__}: .*{complaint}") as caught:
        optimiser(parameters(), lr=0.1)
    assert isinstance(caught.value, tg.errors.TinygradError)


@pytest.mark.parametrize("optimiser", ALL)
@pytest.mark.parametrize(
    ("lr", "error", "complaint"),
    [
        (-0.1, ValueError, r"lr must be zero or above, and finite, not -0\.1"),
        (float("nan"), ValueError, "lr must be zero or above, and finite, not nan"),
        (float("inf"), ValueError, "lr must be zero or above, and finite, not inf"),
        ("fast", TypeError, "lr must be a number, not 'fast'"),
        (None, TypeError, "lr must be a number, not None"),
    ],
)
def test_a_learning_rate_out_of_range_is_refused_at_once_and_later(optimiser, lr, error, complaint):
    with pytest.raises(error, match=complaint):
        optimiser([leaf([1.0])], lr=lr)
    working = optimiser([leaf([1.0])], lr=0.5)
    with pytest.raises(error, match=complaint):
        working.lr = lr
    assert working.lr == 0.5


@pytest.mark.parametrize(
    ("optimiser", "options", "complaint"),
    [
        (optim.SGD, {"momentum": 1.0}, r"SGD: momentum must be zero or above, and below 1, not 1\.0"),
        (optim.SGD, {"momentum": -0.1}, "SGD: momentum must be zero or above"),
        (optim.SGD, {"weight_decay": -1}, "SGD: weight_decay must be zero or above"),
        (optim.SGD, {"nesterov": True}, r"nesterov looks ahead .* needs a momentum, not 0\.0"),
        (optim.Adam, {"betas": (0.9, 1.0)}, r"Adam: betas\[1\] must be zero or above, and below 1, not 1\.0"),
        (optim.Adam, {"betas": (-1, 0.9)}, r"Adam: betas\[0\] must be"),
        (optim.Adam, {"eps": -1e-8}, "Adam: eps must be zero or above"),
        (optim.Adam, {"weight_decay": float("nan")}, "Adam: weight_decay must be"),
        (optim.AdamW, {"betas": (0.9, 2)}, r"AdamW: betas\[1\] must be"),
        (optim.RMSprop, {"alpha": 1}, "RMSprop: alpha must be zero or above, and below 1, not 1"),
        (optim.RMSprop, {"momentum": 1}, "RMSprop: momentum must be"),
        (optim.RMSprop, {"eps": float("inf")}, "RMSprop: eps must be zero or above, and finite, not inf"),
        (optim.Adagrad, {"lr_decay": -1}, "Adagrad: lr_decay must be"),
        (optim.Adagrad, {"initial_accumulator_value": -1}, "Adagrad: initial_accumulator_value must be"),
    ],
)
def test_options_out_of_range_are_refused(optimiser, options, complaint):
    with pytest.raises(tg.errors.ShapeError, match=complaint):
        optimiser([leaf([1.0])], lr=0.1, **options)


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.99, 0.999)])
def test_betas_are_two(betas):
    with pytest.raises(tg.errors.DtypeError, match="Adam: betas must be two numbers"):
        optim.Adam([leaf([1.0])], betas=betas)


@pytest.mark.parametrize("optimiser", [optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad])
def test_what_averages_squares_takes_no_complex_parameters(optimiser):
    w = tg.tensor(np.ones(2, complex), requires_grad=True)
    name = optimiser.__name__
    with pytest.raises(tg.errors.DtypeError, match=rf"^{name}: parameter 0 is complex128, .* as two parameters"):
        optimiser([w])


@every
def test_a_gradient_that_is_not_a_number_is_not_hidden(make):
    w = leaf([1.0, 2.0])
    optimiser = make([w], 0.1)
    w.grad = np.array([np.nan, 1.0])
    optimiser.step()
    np.testing.assert_array_equal(np.isnan(w.data), [True, False])


def test_equal_gradients_have_no_negative_variance():
    """But for rounding, from which centered RMSprop would take the square root."""
    w = leaf(np.zeros(1000), np.float32)
    gradient = np.linspace(0.01, 1, 1000, dtype=np.float32)
    optimiser = optim.RMSprop([w], 1e-9, alpha=0.5, centered=True)
    for _ in range(60):
        w.grad = gradient
        optimiser.step()
    assert np.isfinite(w.data).all()


# ------------------------------------------------------------------------------------------------------------- groups


def test_which_parameters_there_are_is_settled_when_the_optimiser_is_made():
    optimiser = optim.SGD([leaf([1.0])], lr=0.1)
    for settled in (optimiser.param_groups, optimiser.param_groups[0]["params"], optimiser.parameters):
        assert not hasattr(settled, "append")


def test_a_group_takes_the_options_that_it_does_not_have_from_the_optimiser():
    first, second = leaf([1.0]), leaf([1.0, 2.0])
    optimiser = optim.SGD([{"params": iter([first]), "lr": 0.5}, {"params": [second], "momentum": 0.25}], lr=0.1)
    assert [dict(group) for group in optimiser.param_groups] == [
        {"params": (first,), "lr": 0.5, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False},
        {"params": (second,), "lr": 0.1, "momentum": 0.25, "weight_decay": 0.0, "nesterov": False},
    ]
    assert [len(group) for group in optimiser.param_groups] == [5, 5]
    assert optimiser.parameters == (first, second)


@every
def test_groups_are_optimised_as_each_alone(make):
    kind = type(make([leaf([1.0])], 0.1))
    options = make([leaf([1.0])], 0.1).param_groups[0].numbers()
    together, alone = ([leaf([1.0, 2.0]), leaf([[3.0]])] for _ in range(2))
    groups = [{"params": [p], "lr": lr} for p, lr in zip(together, (0.1, 0.02), strict=True)]
    optimisers = [kind(groups, **options), *(make([p], lr) for p, lr in zip(alone, (0.1, 0.02), strict=True))]
    for _ in range(4):
        for optimiser in optimisers:
            for p in optimiser.parameters:
                p.grad = np.array(p.data**2)
            optimiser.step()
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def two_groups(**options):
    return optim.SGD([{"params": [leaf([1.0])], "lr": 0.5}, {"params": [leaf([2.0])]}], lr=0.1, **options)


def test_the_learning_rate_of_groups_that_differ_is_no_single_number():
    optimiser = two_groups()
    with pytest.raises(tg.errors.ShapeError, match=r"SGD: the groups have the learning rates 0\.5, 0\.1: read"):
        optimiser.lr  # noqa: B018
    optimiser.lr = 0.25
    assert optimiser.lr == optimiser.param_groups[0]["lr"] == optimiser.param_groups[1]["lr"] == 0.25


def test_options_can_be_changed_between_steps():
    optimiser = two_groups(momentum=0.5)
    optimiser.param_groups[0]["lr"] = 1.0
    optimiser.param_groups[0]["weight_decay"] = 0.5
    for p in optimiser.parameters:
        p.grad = np.zeros(1)
    optimiser.step()
    assert [p.item() for p in optimiser.parameters] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("momentum", 1.5, r"SGD: momentum must be zero or above, and below 1, not 1\.5"),
        ("momentum", 0, "momentum cannot go from 0.5 to 0, as the state would need no arrays and has .'velocity'.*new"),
        ("speed", 1, "a group has no option 'speed' to set, only lr, momentum, weight_decay, nesterov"),
        ("params", [], "a group has no option 'params' to set"),
    ],
)
def test_what_a_group_cannot_have_is_refused(name, value, complaint):
    group = two_groups(momentum=0.5).param_groups[0]
    before = dict(group)
    with pytest.raises(tg.errors.ShapeError, match=complaint):
        group[name] = value
    assert dict(group) == before


def test_groups_are_printed_one_a_line():
    assert repr(two_groups()) == (
        "SGD(\n"
        "  1 parameters, lr=0.5, momentum=0.0, weight_decay=0.0, nesterov=False\n"
        "  1 parameters, lr=0.1, momentum=0.0, weight_decay=0.0, nesterov=False\n"
        ")"
    )


@pytest.mark.parametrize(
    ("groups", "error", "complaint"),
    [
        ([{"lr": 0.1}], ValueError, "SGD, group 0: there are no 'params'; a group has 'params' and any of lr, mom"),
        ([{"params": [leaf([1.0])], "speed": 1}], ValueError, "SGD, group 0: no option is called speed; a group has"),
        ([{"params": []}], ValueError, "SGD, group 0: there are no parameters"),
        ([{"params": [leaf([1.0])]}, leaf([1.0])], TypeError, "SGD, group 1: a group must be a dict .* not a Tensor"),
        ([{"params": nn.Dense(2, 2)}], TypeError, "SGD, group 0: parameters must be .*, not a Dense: pass model"),
        ([leaf([1.0]), {"params": [leaf([1.0])]}], TypeError, "SGD: parameter 1 is a dict, not a tensor"),
        ({"params": [leaf([1.0])]}, TypeError, "SGD: parameters must be a list of tensors, or of dicts, not one dict"),
        ([{"params": [SHARED]}, {"params": [SHARED]}], ValueError, "SGD: a parameter is there twice"),
        ([{"params": [leaf([1.0])], "lr": -1}], ValueError, "SGD: lr must be zero or above, and finite, not -1"),
    ],
)
def test_what_is_no_group_is_refused(groups, error, complaint):
    with pytest.raises(error, match=f"^{complaint}") as caught:
        optim.SGD(groups, lr=0.1)
    assert isinstance(caught.value, tg.errors.TinygradError)


# ------------------------------------------------------------------------------------------------- saving and loading


def stepped(make, steps, state=None, start=None):
    """An optimiser after some steps on the parabola, and its parameter."""
    w = leaf([0.0, 0.0, 0.0] if start is None else start)
    optimiser = make([w], 0.01)
    if state is not None:
        optimiser.load_state_dict(state)
    minimise(optimiser, w, parabola, steps)
    return optimiser, w


@every
def test_a_loaded_state_goes_on_bit_for_bit(make):
    optimiser, w = stepped(make, 5)
    _, resumed = stepped(lambda p, _lr: make(p, 0.5), 5, optimiser.state_dict(), w.data)
    minimise(optimiser, w, parabola, 5)
    np.testing.assert_array_equal(resumed.data, w.data)


@every
def test_a_state_is_nested_dicts_of_numbers_and_copies(make):
    optimiser, w = stepped(make, 3)
    state = optimiser.state_dict()
    assert all(isinstance(x, np.ndarray | float | bool) for x in leaves(state))
    frozen = copy.deepcopy(state)
    minimise(optimiser, w, parabola, 1)
    assert str(state) == str(frozen)
    assert state["groups"]["0"]["lr"] == 0.01
    other, _ = stepped(make, 0)
    other.load_state_dict(state)
    for array in leaves(state):
        if isinstance(array, np.ndarray):
            array[...] = 7
    assert str(other.state_dict()) == str(frozen)  # nothing is shared


@every
def test_loading_writes_into_the_same_arrays(make):
    """So a captured step goes on from there."""
    optimiser, _ = stepped(make, 1)
    before = [id(leaf) for leaf in leaves(dict(vars(optimiser)))]
    optimiser.load_state_dict(stepped(make, 3)[0].state_dict())
    assert [id(leaf) for leaf in leaves(dict(vars(optimiser)))] == before


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        (lambda s: s["state"]["0"].pop("sum"), ValueError, "load_state_dict of Adam: state.0.sum is missing$"),
        (lambda s: s["state"]["0"].update(velocity=np.ones(3)), ValueError, "state.0.velocity is not in the optimiser"),
        (
            lambda s: s["state"]["0"].update(sum=np.ones(4)),
            ValueError,
            r"state.0.sum is \(3,\) in the optimiser and \(4,\) here",
        ),
        (
            lambda s: s["state"]["0"].update(sum=np.ones(3, np.float32)),
            TypeError,
            "state.0.sum is float64 in the optimiser and float32 here",
        ),
        (lambda s: s["groups"].update({"1": {"lr": 0.1}}), ValueError, "groups.1.lr is not in the optimiser"),
        (lambda s: s["groups"]["0"].update(lr=-0.1), ValueError, r"Adam: lr must be zero or above.* not -0\.1"),
        (lambda s: s["groups"]["0"].update(betas=np.array([0.9, 1.0])), ValueError, r"Adam: betas\[1\] must be"),
        (lambda s: s.clear(), ValueError, "groups.0.lr is missing; groups.0.betas is missing"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change, error, complaint):
    state = stepped(MAKERS["Adam"], 3)[0].state_dict()
    change(state)
    optimiser, _ = stepped(MAKERS["Adam"], 1)
    before = str(optimiser.state_dict())
    with pytest.raises(error, match=complaint):
        optimiser.load_state_dict(state)
    assert str(optimiser.state_dict()) == before


def test_one_bad_option_of_one_group_leaves_all_groups_as_they_were():
    optimiser = two_groups()
    state = optimiser.state_dict()
    state["groups"]["0"]["lr"], state["groups"]["1"]["lr"] = 0.9, -1.0
    with pytest.raises(tg.errors.ShapeError, match=r"SGD: lr must be zero or above, and finite, not -1\.0"):
        optimiser.load_state_dict(state)
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 0.1]


@every
def test_a_copy_is_independent(make):
    optimiser, w = stepped(make, 2)
    twin = copy.deepcopy(optimiser)
    minimise(twin, twin.parameters[0], parabola, 3)
    minimise(optimiser, w, parabola, 3)
    np.testing.assert_array_equal(twin.parameters[0].data, w.data)
    twin.lr = 0.7
    assert optimiser.lr == 0.01


# ------------------------------------------------------------------------------------------------------ one's own


def test_an_optimiser_of_ones_own_needs_only_an_update():
    class Sign(optim.Optimizer):
        def _update(self, i, parameter, gradient):
            np.subtract(parameter, self.lr * np.sign(gradient), out=parameter)

    w = leaf([1.0, -1.0])
    np.sum(w * w).backward()
    Sign([w], lr=0.25).step()
    np.testing.assert_array_equal(w.data, [0.75, -0.75])
    with pytest.raises(TypeError, match="abstract"):
        optim.Optimizer([w], lr=0.25)
