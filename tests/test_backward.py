"""The way back through the graph: `backward`, `gradients`, what they visit, keep, share and refuse."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensors import leaf

import tinygrad_np as tg
from tinygrad_np import backward
from tinygrad_np.core import Tensor
from tinygrad_np.errors import FreedGraphError, GradientError, StaleGraphError

# ------------------------------------------------------------------------------------------------------------ backward


def test_backward_of_a_scalar_starts_from_one() -> None:
    for shape in ((), (1,), (1, 1)):
        x = leaf(np.full(shape, 3.0))
        (x * x).backward()
        np.testing.assert_array_equal(x.grad, np.full(shape, 6.0), strict=True)


def test_backward_takes_a_cotangent() -> None:
    for cotangent in ([1.0, 10.0, 100.0], np.array([1.0, 10.0, 100.0]), np.array([1, 10, 100])):
        x = leaf()
        (x * x).backward(cotangent)
        assert x.grad.tolist() == [2, 40, 600]


def test_a_tensor_as_cotangent_counts_as_its_values() -> None:
    x = leaf()
    y = x * x
    for cotangent in (tg.tensor([1.0, 1.0, 1.0]), x / x):
        y.backward(cotangent, retain_graph=True)
        assert type(x.grad) is np.ndarray
    assert x.grad.tolist() == [4, 8, 12]
    assert type(tg.gradients(y, x, x * 1)) is np.ndarray


def test_backward_adds_to_grad() -> None:
    x = leaf()
    for total in (1, 2, 3):
        np.sum(x * x).backward()
        np.testing.assert_array_equal(x.grad, total * 2 * x.data)
    x.grad = None
    np.sum(x).backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_backward_reaches_every_leaf_and_nothing_else() -> None:
    x, z, stranger, constant = leaf(), leaf([4.0, 5.0, 6.0]), leaf(), tg.tensor([1.0, 1.0, 1.0])
    np.sum(x * z + constant * x).backward()
    np.testing.assert_array_equal(x.grad, z.data + 1)
    np.testing.assert_array_equal(z.grad, x.data)
    assert stranger.grad is None
    assert constant.grad is None


def test_backward_of_a_leaf_itself() -> None:
    x = leaf()
    x.backward(np.array([1.0, 2.0, 3.0]))
    assert x.grad.tolist() == [1, 2, 3]


def test_gradients_have_their_leafs_dtype() -> None:
    single, double = leaf(dtype=np.float32), leaf()
    loss = np.sum(single * double)
    assert loss.dtype == np.float64
    loss.backward()
    assert single.grad.dtype == np.float32
    assert double.grad.dtype == np.float64


def test_broadcast_axes_are_summed_over() -> None:
    row, column, scalar = leaf(), leaf([[1.0], [2.0]]), leaf(5.0)
    np.sum(row * column * scalar).backward()
    assert row.grad.tolist() == [15, 15, 15]
    assert column.grad.tolist() == [[30], [30]]
    assert scalar.grad.tolist() == 18


def test_leaves_of_no_elements_get_gradients_of_no_elements() -> None:
    x = leaf(np.zeros((0, 3)))
    np.sum(np.exp(x) * 2).backward()
    assert x.grad.shape == (0, 3)


# ------------------------------------------------------------------------------------------------------------ gradients


def test_gradients_leave_grad_alone() -> None:
    x = leaf()
    assert tg.gradients(np.sum(x), x).tolist() == [1, 1, 1]
    assert x.grad is None


def test_gradients_are_a_list_for_a_sequence_of_inputs() -> None:
    x, z = leaf(), leaf()
    loss = np.sum(x * z)
    for inputs in ([x, z], (x, z)):
        found = tg.gradients(loss, inputs, retain_graph=True)
        assert type(found) is list
        assert [type(g) for g in found] == [np.ndarray, np.ndarray]
    assert tg.gradients(loss, []) == []


def test_scalar_gradients_are_arrays_too() -> None:
    x = leaf(2.0)
    gradient = tg.gradients(x * x, x)
    assert type(gradient) is np.ndarray
    assert gradient.shape == ()


def test_gradients_of_intermediate_results() -> None:
    x = leaf()
    h = x * x
    k = np.exp(h)
    by_h, by_k, by_x = tg.gradients(np.sum(h * k), [h, k, x])
    np.testing.assert_allclose(by_h, k.data * (1 + h.data))
    np.testing.assert_allclose(by_k, h.data)
    np.testing.assert_allclose(by_x, by_h * 2 * x.data)


def test_the_gradient_of_the_output_itself_is_its_cotangent() -> None:
    y = leaf() * 2
    assert tg.gradients(y, y, np.array([1.0, 2.0, 3.0])).tolist() == [1, 2, 3]


def test_gradients_can_be_taken_in_two_steps() -> None:
    """Up to an intermediate result, and on from there: nothing older than it is used up by the first step."""
    x = leaf()
    h = x * x
    by_h = tg.gradients(np.sum(h * h), h)
    h.backward(by_h)
    np.testing.assert_allclose(x.grad, 4 * x.data**3)


def test_an_input_that_does_not_matter_gets_zeros() -> None:
    x, stranger, beside = leaf(), leaf(np.ones((2, 2), np.float32)), leaf() * 2
    by_x, by_stranger, by_beside = tg.gradients(np.sum(x), [x, stranger, beside])
    assert by_x.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(by_stranger, np.zeros((2, 2), np.float32), strict=True)
    assert by_beside.tolist() == [0, 0, 0]


def test_an_input_that_only_masks_and_indices_depend_on_gets_zeros() -> None:
    x, z = leaf(), leaf()
    y = np.where(x > 2, z, 2 * z) + np.sign(x) + np.floor(x)
    by_x, by_z = tg.gradients(np.sum(y), [x, z])
    assert by_x.tolist() == [0, 0, 0]
    assert by_z.tolist() == [2, 2, 1]


def test_the_same_input_twice() -> None:
    x = leaf()
    first, second = tg.gradients(np.sum(x * x), [x, x])
    np.testing.assert_array_equal(first, second)


def test_several_outputs_count_as_their_sum() -> None:
    x, z = leaf(), leaf([4.0, 5.0, 6.0])
    outputs = [np.sum(x * x), np.sum(x * z)]
    by_x, by_z = tg.gradients(outputs, [x, z])
    np.testing.assert_array_equal(by_x, 2 * x.data + z.data)
    np.testing.assert_array_equal(by_z, x.data)


def test_several_outputs_with_cotangents() -> None:
    x = leaf()
    outputs = [x * 2, np.sum(x), x * 3]
    found = tg.gradients(outputs, x, [np.array([1.0, 10.0, 100.0]), None, tg.tensor([1.0, 1.0, 1.0])])
    assert found.tolist() == [6, 24, 204]


def test_one_output_several_times() -> None:
    x = leaf()
    y = x * x
    found = tg.gradients([y, y], x, [np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0])])
    assert found.tolist() == [4, 4, 6]


def test_an_output_that_another_was_computed_from() -> None:
    x = leaf()
    y = x * x
    assert tg.gradients([np.sum(y), np.sum(y * y)], x).tolist() == [6, 36, 114]


def test_recorded_gradients_are_differentiated_in_turn() -> None:
    x = leaf(2.0)
    g = x**5
    for slope in (80, 160, 240, 240, 120):
        g = tg.gradients(g, x, create_graph=True)
        assert type(g) is Tensor
        assert g.item() == slope


def test_gradients_of_linear_functions_are_tensors_too() -> None:
    x = leaf()
    slope = tg.gradients(np.sum(2 * x), x, create_graph=True)
    assert type(slope) is Tensor
    assert slope.data.tolist() == [2, 2, 2]


def test_recorded_gradients_depend_on_their_cotangents() -> None:
    x, v = leaf(), leaf([1.0, 10.0, 100.0])
    product = tg.gradients(x * x, x, v, create_graph=True)
    by_x, by_v = tg.gradients(np.sum(product), [x, v])
    assert by_x.tolist() == [2, 20, 200]
    assert by_v.tolist() == [2, 4, 6]


def test_gradients_are_recorded_under_no_grad_if_asked_to() -> None:
    x = leaf(3.0)
    y = x**3
    with tg.no_grad():
        slope = tg.gradients(y, x, create_graph=True)
    assert tg.gradients(slope, x) == 18


def test_a_penalty_on_the_gradient_can_be_minimised() -> None:
    x = leaf()
    loss = np.sum(x**3)
    slope = tg.gradients(loss, x, create_graph=True)
    (loss + np.sum(slope * slope)).backward()
    np.testing.assert_allclose(x.grad, 3 * x.data**2 + 36 * x.data**3)


# ------------------------------------------------------------------------------------------- the graph, used up or kept


def freed(x: Tensor) -> Tensor:
    """A loss whose graph an earlier backward has gone through."""
    loss = np.sum(np.exp(x) * x)
    loss.backward()
    return loss


FREED = r"an earlier backward has let go of the arrays that np\.\w+ recorded.*retain_graph=True"


def test_a_second_backward_raises() -> None:
    loss = freed(leaf())
    with pytest.raises(FreedGraphError, match=FREED):
        loss.backward()


def test_gradients_through_a_freed_graph_raise_rather_than_being_zero() -> None:
    x = leaf()
    loss = freed(x)
    with pytest.raises(FreedGraphError, match=FREED):
        tg.gradients(loss, x)
    loss = np.sum(x * x)
    tg.gradients(loss, x)
    with pytest.raises(FreedGraphError, match=FREED):
        tg.gradients(loss, x)


def test_a_new_graph_on_top_of_a_freed_one_raises() -> None:
    x = leaf()
    h = np.exp(x)
    np.sum(h).backward()
    with pytest.raises(FreedGraphError, match=FREED):
        np.sum(h * 2).backward()
    with pytest.raises(FreedGraphError, match=FREED):
        tg.gradients(np.sum(h * 2), x)


def test_a_freed_graph_does_not_matter_to_what_is_newer_than_it() -> None:
    h = np.exp(leaf())
    np.sum(h).backward()
    z = leaf()
    by_z, by_h = tg.gradients(np.sum(h * z), [z, h], retain_graph=True)
    np.testing.assert_array_equal(by_z, h.data)
    np.testing.assert_array_equal(by_h, z.data)


def test_what_was_computed_before_stays_readable() -> None:
    loss = freed(leaf())
    assert loss.item() > 0
    assert not (loss.detach() * 2).requires_grad


def test_a_retained_graph_can_be_gone_through_again() -> None:
    x = leaf()
    loss = np.sum(np.exp(x) * x)
    loss.backward(retain_graph=True)
    first = x.grad
    loss.backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, 2 * first)
    np.testing.assert_array_equal(tg.gradients(loss, x), first)


def test_create_graph_retains() -> None:
    x = leaf()
    loss = np.sum(np.exp(x) * x)
    slope = tg.gradients(loss, x, create_graph=True)
    np.testing.assert_array_equal(tg.gradients(loss, x), slope.data)


def test_retain_graph_can_be_refused_where_the_gradient_is_recorded() -> None:
    x = leaf()
    loss = np.sum(x * x)
    tg.gradients(loss, x, create_graph=True, retain_graph=False)
    with pytest.raises(FreedGraphError):
        loss.backward()


def test_only_what_was_passed_is_used_up() -> None:
    x, z = leaf(), leaf()
    a, b = np.exp(x), np.exp(z)
    tg.gradients(np.sum(a * b), x)
    np.sum(b).backward()
    np.testing.assert_array_equal(z.grad, b.data)


# -------------------------------------------------------------------------------------------------- updates in place


def updated_in_place(x: Tensor) -> None:
    """What an optimiser does."""
    x.data[...] += 1
    x.mark_updated()


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: np.sum(x * x),
        lambda x: np.sum(np.sin(x)),
        lambda x: np.sum(x.reshape(3, 1) @ x[None]),
        lambda x: np.sum(x[::-1] * x[:1]),
        lambda x: np.transpose(x) @ x,
        lambda x: np.sum(np.broadcast_to(x, (2, 3)) ** 2),
    ],
    ids=["product", "function", "reshaped", "sliced", "transposed", "broadcast"],
)
def test_backward_after_an_update_in_place_raises(loss: Callable[..., Any]) -> None:
    x = leaf()
    stale = loss(x)
    updated_in_place(x)
    with pytest.raises(StaleGraphError, match=r"a leaf of float64\(3,\) was updated in place after np\.\w+ had"):
        stale.backward()
    loss(x).backward()
    assert x.grad is not None


def test_an_update_before_a_call_does_not_matter_to_it() -> None:
    x, z = leaf(), leaf()
    updated_in_place(x)
    loss = np.sum(x * x) + np.sum(z)
    updated_in_place(z)
    loss.backward()
    np.testing.assert_array_equal(x.grad, 2 * x.data)


def test_an_update_of_another_leaf_is_noticed_too() -> None:
    x, z = leaf(), leaf()
    loss = np.sum(x * z)
    updated_in_place(z)
    with pytest.raises(StaleGraphError):
        tg.gradients(loss, x)


def test_the_graph_is_looked_through_once_for_what_was_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    x, other, looks = leaf(), leaf(), []
    y = x
    for _ in range(50):
        y = y * x
    updated_in_place(other)
    reachable = backward.reachable
    monkeypatch.setattr(backward, "reachable", lambda *a: looks.append(a) or reachable(*a))
    np.sum(y).backward()
    assert len(looks) == 1


def test_an_update_does_not_matter_where_the_values_are_not_needed() -> None:
    x, z = leaf(), leaf()
    loss = np.sum((x + z) * 2)
    updated_in_place(x)
    loss.backward()
    assert x.grad.tolist() == z.grad.tolist() == [2, 2, 2]


def test_marking_what_is_no_leaf_does_nothing() -> None:
    y = tg.tensor([1.0])
    y.mark_updated()
    x = leaf()
    z = x * x
    z.mark_updated()
    np.sum(z).backward()


# ------------------------------------------------------------------------------------------------ nobody shares a .grad


PASSING_ON = {
    "positive": lambda x, z: +x + z,
    "sum": lambda x, z: x + z,
    "difference": lambda x, z: x - (-z),
    "reshape": lambda x, z: x.reshape(4).reshape(2, 2) + z,
    "transpose": lambda x, z: x.T + z.T,
    "broadcast": lambda x, z: np.broadcast_to(np.sum(x) + np.sum(z), (2, 2)),
    "read": lambda x, z: x[...] + z[:],
    "write": lambda x, z: np.stack([x[0], z[1]]) + np.stack([x[1], z[0]]),
    "joined": lambda x, z: np.concatenate([x[:1], z[1:]]) + np.concatenate([z[:1], x[1:]]),
    "product": lambda x, z: x * z,
    "where": lambda x, z: np.where([[True, False], [True, False]], x + z, x),
    "copy": lambda x, z: x.copy() + z.astype(np.float64),
}


@pytest.mark.parametrize("function", PASSING_ON.values(), ids=PASSING_ON)
@pytest.mark.parametrize("how", ["backward", "gradients", "intermediate"])
def test_gradients_are_nobody_elses_memory(function: Callable[..., Any], how: str) -> None:
    x, z = leaf(np.arange(4.0).reshape(2, 2)), leaf(np.ones((2, 2)))
    cotangent = np.full((2, 2), 3.0)
    if how == "intermediate":
        x, z = x * 1, z * 1
    y = function(x, z)
    if how == "backward":
        y.backward(cotangent, retain_graph=True)
        found = [x.grad, z.grad]
        y.backward(cotangent)
        found += [x.grad, z.grad]
    else:
        found = tg.gradients(y, [x, z, y], cotangent)
    held = [x.data, z.data, y.data, cotangent]
    for i, gradient in enumerate(found):
        assert gradient.flags.writeable
        assert gradient.flags.owndata
        for other in [*held, *found[i + 1 :]]:
            assert not np.shares_memory(gradient, other)


def test_an_input_that_is_named_twice_gets_two_arrays() -> None:
    x = leaf()
    first, second = tg.gradients(np.sum(x * x), [x, x])
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)


def test_the_gradient_of_a_leaf_itself_is_not_its_cotangent() -> None:
    x = leaf()
    cotangent = np.ones(3)
    x.backward(cotangent)
    assert not np.shares_memory(x.grad, cotangent)


@pytest.mark.usefixtures("scratch_table")
@pytest.mark.parametrize(
    "rule", [lambda g, _y, _x, _z: g[0], lambda g, y, _x, _z: y[0], lambda g, _y, x, _z: x], ids=["g", "y", "x"]
)
def test_rules_of_several_outputs_may_pass_on_what_they_get(rule: Callable[..., Any]) -> None:
    f = tg.defvjp(lambda x, z: (x + z, x - z), rule, rule)
    x, z = leaf(), leaf()
    a, b = f(x, z)
    cotangent = np.ones(3)
    tg.Tensor.backward(a, cotangent)
    held = [x.data, z.data, a.data, b.data, cotangent]
    assert not any(np.shares_memory(t.grad, other) for t in (x, z) for other in held)
    assert not np.shares_memory(x.grad, z.grad)


def test_recorded_gradients_are_handles_of_their_own() -> None:
    x, z, v = leaf(), leaf(), leaf()
    by_x, by_z = tg.gradients(x + z, [x, z], v, create_graph=True)
    by_x += 1
    assert by_z.data.tolist() == v.data.tolist() == [1, 2, 3]


def test_grad_is_not_written_to_by_a_later_backward() -> None:
    x = leaf()
    np.sum(x * x).backward()
    first = x.grad
    np.sum(x * x).backward()
    np.testing.assert_array_equal(first, 2 * x.data)


# ---------------------------------------------------------------------------------------------------- what is visited


@pytest.fixture
def logged(scratch_table: None) -> tuple[Callable[..., Any], list[str]]:
    """The sum of two arrays, which notes the labels of the calls whose rules are run, and for which argument."""
    log: list[str] = []

    def rule(argument: str) -> Callable[..., Any]:
        def run(g: Any, _y: Any, _x: Any, _z: Any, *, label: str) -> Any:
            log.append(label + argument)
            return g

        return run

    return tg.defvjp(lambda x, z, *, label: x + z, rule("x"), rule("z")), log


Logged = tuple[Callable[..., Any], list[str]]


def test_each_rule_runs_once_however_many_ways_lead_to_it(logged: Logged) -> None:
    add, log = logged
    x = leaf(1.0)
    y = x
    for i in range(60):  # 2**60 ways
        y = add(y, y, label=f"{i}")
    y.backward()
    assert x.grad == 2.0**60
    assert log == [f"{i}{argument}" for i in range(59, -1, -1) for argument in "xz"]


def test_newer_calls_come_first_whatever_the_shape_of_the_graph(logged: Logged) -> None:
    """A call that is reached by a short way as well as by a long one waits for the long one."""
    add, log = logged
    x = leaf(1.0)
    a = add(x, 0.0, label="a")
    b = add(a, 0.0, label="b")
    c = add(b, a, label="c")
    d = add(x, c, label="d")
    e = add(a, d, label="e")
    e.backward()
    assert log == ["ex", "ez", "dx", "dz", "cx", "cz", "bx", "ax"]
    assert x.grad == 4


def test_rules_that_lead_to_no_target_are_not_run(logged: Logged) -> None:
    add, log = logged
    x, z = leaf(1.0), leaf(2.0)
    a = add(x, 0.0, label="a")
    b = add(z, 0.0, label="b")
    c = add(a, b, label="c")
    assert tg.gradients(c, x, retain_graph=True) == 1
    assert log == ["cx", "ax"]
    log.clear()
    assert tg.gradients(c, b, retain_graph=True) == 1
    assert log == ["cz"]
    log.clear()
    assert tg.gradients(c, leaf(3.0), retain_graph=True) == 0
    assert log == []


def test_constants_are_not_visited(logged: Logged) -> None:
    add, log = logged
    x = leaf(1.0)
    y = add(add(1.0, tg.tensor(2.0), label="constant"), x, label="y")
    y.backward()
    assert log == ["yz"]


def test_outputs_that_were_not_used_are_not_visited(logged: Logged) -> None:
    add, log = logged
    x = leaf(1.0)
    used, _unused = add(x, 1.0, label="used"), add(x, 2.0, label="unused")
    used.backward()
    assert log == ["usedx"]


# --------------------------------------------------------------------------------------------------------------- memory


def test_backward_makes_room_as_it_goes() -> None:
    """A chain keeps its arrays until backward, which never needs more than a few of its own."""
    x = leaf(np.ones(100_000))
    array = x.data.nbytes
    tracemalloc.start()
    try:
        y = x
        for _ in range(20):
            y = np.exp(y * 0.1)
        recorded, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        y = np.sum(y)
        y.backward()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert recorded > 19 * array
    assert peak < recorded + 6 * array
    assert after < 2 * array


# ------------------------------------------------------------------------------------------------------------ refusals


def test_backward_of_what_was_not_recorded() -> None:
    message = r"backward\(\): the output is a tensor of float64\(\) that was not recorded.*requires_grad=True"
    with pytest.raises(GradientError, match=message):
        np.sum(tg.tensor([1.0])).backward()
    with tg.no_grad():
        y = np.sum(leaf())
    with pytest.raises(GradientError, match=r"not recorded.*no_grad"):
        y.backward()


@pytest.mark.parametrize("shape", [(3,), (0,), (2, 2)])
def test_backward_of_what_is_no_scalar(shape: tuple[int, ...]) -> None:
    y = leaf(np.ones(shape)) * 2
    with pytest.raises(GradientError, match=rf"an output of float64\({shape[0]},.*np.sum\(t\).*cotangent of its shape"):
        y.backward()


def test_backward_of_a_complex_number() -> None:
    with pytest.raises(GradientError, match=r"complex128\(\) has no single derivative.*real scalar"):
        np.sum(leaf([1j])).backward()


@pytest.mark.parametrize(
    ("cotangent", "described"),
    [
        (np.ones(2), r"float64\(2,\)"),
        (1.0, r"float64\(\)"),
        (np.ones((1, 3)), r"float64\(1, 3\)"),
        (np.ones(3) * 1j, r"complex128\(3,\)"),
        ([None] * 3, r"object\(3,\)"),
        (["a"] * 3, r"<U1\(3,\)"),
        (tg.tensor([1.0]), r"float64\(1,\)"),
    ],
    ids=str,
)
def test_cotangents_that_do_not_fit(cotangent: Any, described: str) -> None:
    y = leaf() * 2
    with pytest.raises(GradientError, match=rf"a cotangent of {described} does not fit an output of float64\(3,\)"):
        y.backward(cotangent)
    with pytest.raises(GradientError, match=rf"gradients\(\): a cotangent of {described} does not fit"):
        tg.gradients([y], y, [cotangent])


def test_as_many_cotangents_as_outputs() -> None:
    y = leaf(1.0) * 2
    with pytest.raises(GradientError, match="2 outputs need as many cotangents, not 1"):
        tg.gradients([y, y], y, [1.0])


@pytest.mark.parametrize(
    ("wrong", "described"),
    [
        (tg.tensor([1.0]), r"a tensor of float64\(1,\) that was not recorded"),
        (np.ones(2), "a ndarray, not a tensor that requires a gradient"),
        (None, "a NoneType"),
    ],
    ids=["constant", "array", "None"],
)
def test_gradients_with_respect_to_what_has_none(wrong: Any, described: str) -> None:
    x = leaf()
    with pytest.raises(GradientError, match=rf"gradients\(\): input 1 is {described}"):
        tg.gradients(np.sum(x), [x, wrong])


def test_gradients_of_what_has_none() -> None:
    with pytest.raises(GradientError, match=r"gradients\(\): the output is a ndarray"):
        tg.gradients([np.ones(())], [leaf()])
