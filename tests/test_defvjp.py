"""Functions of one's own: `primitive`, `defvjp`, and what a rule sees and keeps."""

import gc
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensors import assert_tensor, leaf

import tinygrad_np as tg
from tinygrad_np.errors import DtypeError, MissingRuleError, RuleError

A = np.array([[1.5, 2.5, 3.5], [0.5, 4.5, 2.0]])

@pytest.mark.usefixtures("scratch_table")
class TestPrimitive:
    """A function with rules of its own."""

    def test_plain_calls_stay_plain(self) -> None:
        cube = tg.defvjp(lambda x: x**3, lambda g, _y, x: 3 * g * x * x)
        assert cube(2.0) == 8.0
        assert type(cube(np.ones(2))) is np.ndarray

    def test_its_rule_is_its_derivative_and_not_its_body(self) -> None:
        reversal = tg.defvjp(lambda x: +x, lambda g, _y, _x: -g)
        x = leaf()
        np.testing.assert_array_equal(tg.gradients(np.sum(reversal(x)), x), [-1, -1, -1])

    def test_the_function_gets_arrays(self) -> None:
        seen = []

        @tg.primitive
        def identity(x: Any) -> Any:
            seen.append(type(x))
            return np.array(x)

        tg.defvjp(identity, lambda g, _y, _x: g)
        x = leaf()
        identity(x)
        identity(tg.tensor([1.0]))
        assert seen == [np.ndarray, np.ndarray]

    def test_the_decorated_function_keeps_its_name_and_docstring(self) -> None:
        @tg.primitive
        def cube(x: Any) -> Any:
            """The third power."""
            return x * x * x

        assert (cube.__name__, cube.__doc__) == ("cube", "The third power.")
        assert str(inspect.signature(cube)) == "(x: Any) -> Any"
        assert tg.defvjp(cube, lambda g, _y, x: 3 * g * x * x) is cube
        assert repr(cube(leaf([1.0]))).endswith("cube)")

    def test_defvjp_wraps_a_plain_function(self) -> None:
        def cube(x: Any) -> Any:
            return x * x * x

        wrapped = tg.defvjp(cube, lambda g, _y, x: 3 * g * x * x)
        assert wrapped is not cube
        assert (wrapped(leaf(2.0))).requires_grad

    def test_later_rules_replace_earlier_ones(self) -> None:
        cube = tg.defvjp(lambda x: x**3, lambda g, _y, _x: g)
        assert tg.defvjp(cube, lambda g, _y, x: 3 * g * x * x) is cube
        x = leaf(2.0)
        assert tg.gradients(cube(x), x) == 12

    def test_rules_for_a_ufunc_without_any(self) -> None:
        twice = np.frompyfunc(lambda v: 2 * v, 1, 1)
        with pytest.raises(MissingRuleError):
            twice(leaf())

        tg.defvjp(np.spacing, tg.zero)
        x = leaf()
        np.testing.assert_array_equal(tg.gradients(np.sum(np.spacing(x) + x), x), [1, 1, 1])

    def test_rules_are_differentiated_in_turn(self) -> None:
        cube = tg.defvjp(lambda x: x**3, lambda g, _y, x: 3 * g * x * x)
        third = tg.grad(tg.grad(tg.grad(cube)))
        assert third(2.0) == 6

    def test_rules_get_cotangent_output_inputs_and_static_keywords(self) -> None:
        seen: list[Any] = []

        def by_x(g: Any, y: Any, x: Any, z: Any, *, power: int) -> Any:
            seen.extend([g, y, x, z, power])
            return g * z

        f = tg.defvjp(lambda x, z, *, power=1: x * z**power, by_x, tg.zero)
        x = leaf([2.0])
        f(x, np.array([3.0]), power=2).backward(np.array([5.0]))
        assert [np.asarray(s).tolist() for s in seen] == [[5.0], [18.0], [2.0], [3.0], 2]
        assert all(type(s) is np.ndarray for s in seen[:4])

    def test_arguments_by_keyword(self) -> None:
        f = tg.defvjp(lambda x, z=2.0: x * z, lambda g, _y, _x, z: g * z, lambda g, _y, x, _z: g * x)
        x, z = leaf(3.0), leaf(5.0)
        assert tg.gradients(f(z=z, x=x), [x, z]) == [5, 3]
        assert tg.gradients(f(x, z=z), [x, z]) == [5, 3]
        assert tg.gradients(f(x), x) == 2

    def test_the_same_tensor_twice(self) -> None:
        product = tg.defvjp(lambda x, z: x * z, lambda g, _y, _x, z: g * z, lambda g, _y, x, _z: g * x)
        x = leaf(3.0)
        assert tg.gradients(product(x, x), x) == 6

    def test_zero_stands_for_a_derivative_that_is_zero_everywhere(self) -> None:
        f = tg.defvjp(lambda x, z: x + np.floor(z), lambda g, _y, _x, _z: g, tg.zero)
        x, z = leaf(1.0), leaf(2.5)
        assert tg.gradients(f(x, z), [x, z]) == [1, 0]
        with pytest.raises(AssertionError):
            tg.zero()

    def test_a_missing_rule_matters_only_where_its_gradient_is_needed(self) -> None:
        f = tg.defvjp(lambda x, z: x * z, lambda g, _y, _x, z: g * z, None)
        x, z = leaf(2.0), leaf(3.0)
        assert tg.gradients(f(x, 3.0), x) == 3
        assert tg.gradients(f(x, z), x) == 3
        with pytest.raises(MissingRuleError, match=r"<lambda> has no rule for argument 1 .*tg.defvjp.*tg.zero.*detach"):
            f(x, z).backward()
        with pytest.raises(MissingRuleError, match="no rule for argument 1"):
            f(x, x).backward()

    def test_a_primitive_without_rules_says_so_in_backward(self) -> None:
        f = tg.primitive(lambda x: x * 2)
        assert f(np.ones(2)).tolist() == [2, 2]
        with pytest.raises((MissingRuleError, TypeError), match="<lambda>"):
            f(leaf()).backward(np.ones(3))

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (None, "returned None: .*tg.zero"),
            (np.ones(2), r"returned shape \(2,\) for an input of shape \(3,\)"),
            (np.ones((1, 3)), r"returned shape \(1, 3\) for an input of shape \(3,\)"),
            (1.0, r"returned shape \(\) for an input of shape \(3,\)"),
            (np.ones(3, int), "returned dtype int64 for an input of dtype float64"),
            (np.ones(3, bool), "returned dtype bool for an input of dtype float64"),
            (["a", "b", "c"], "returned dtype <U1 for an input of dtype float64"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("has_pole", [False, True])
    @pytest.mark.parametrize("create_graph", [False, True])
    def test_a_wrong_result_of_a_rule_names_the_rule(
        self, returned: Any, message: str, has_pole: bool, create_graph: bool
    ) -> None:
        def wrong(g: Any, _y: Any, _x: Any) -> Any:
            return returned

        @tg.primitive
        def doubled(x: Any) -> Any:
            return 2 * x

        tg.defvjp(doubled, wrong, has_pole=has_pole)
        x = leaf()
        with pytest.raises(RuleError, match=rf"the rule wrong \(test_defvjp.py:\d+\) of \S*doubled {message}"):
            tg.gradients(np.sum(doubled(x)), x, create_graph=create_graph)

    def test_a_wrong_result_of_a_variadic_rule_names_the_rule(self) -> None:
        def wrong(g: Any, _y: Any, *_xs: Any, argnum: int) -> Any:
            return g[:1]

        total = tg.defvjp(lambda *xs: sum(xs), wrong, variadic=True)
        with pytest.raises(RuleError, match=r"the rule wrong \(test_defvjp.py:\d+\)"):
            total(leaf(), leaf()).backward(np.ones(3))

    def test_gradients_get_their_inputs_dtype(self) -> None:
        doubled = tg.defvjp(lambda x: x * 2.0, lambda g, _y, _x: np.asarray(g, np.float64) * 2)
        x = leaf(dtype=np.float32)
        assert tg.gradients(np.sum(doubled(x)), x).dtype == np.float32

    def test_a_real_input_gets_the_real_part_of_a_complex_gradient(self) -> None:
        turned = tg.defvjp(lambda x: x * 1j, lambda g, _y, _x: g * -1j)
        x = leaf([2.0])
        gradient = tg.gradients(turned(x), x, np.array([3 + 4j]))
        assert (gradient.dtype, gradient.tolist()) == (np.float64, [4.0])

    def test_elementwise_functions_have_their_gradients_summed_over_broadcast_axes(self) -> None:
        product = tg.defvjp(
            lambda x, z: x * z, lambda g, _y, _x, z: g * z, lambda g, _y, x, _z: g * x, elementwise=True
        )
        x, z = leaf(np.ones((2, 1))), leaf(np.ones(3))
        by_x, by_z = tg.gradients(np.sum(product(x, z)), [x, z])
        assert by_x.tolist() == [[3], [3]]
        assert by_z.tolist() == [2, 2, 2]

    def test_gradients_of_elementwise_functions_have_the_shape_of_the_output(self) -> None:
        """One that only happens to broadcast from its input's shape is an error, and not summed over."""
        doubled = tg.defvjp(lambda x, z: x + z, lambda g, _y, _x, _z: np.ones(2), tg.zero, elementwise=True)
        with pytest.raises(RuleError, match=r"returned shape \(2,\) for an input of shape \(1,\)"):
            doubled(leaf([1.0]), np.ones(3)).backward(np.ones(3))

    def test_functions_that_are_not_elementwise_have_not(self) -> None:
        product = tg.defvjp(lambda x, z: x * z, lambda g, _y, _x, z: g * z, lambda g, _y, x, _z: g * x)
        with pytest.raises(RuleError, match=r"returned shape \(3,\) for an input of shape \(1,\)"):
            product(leaf([1.0]), np.ones(3)).backward(np.ones(3))

    def test_a_pole_is_cut_off_where_the_cotangent_is_zero(self) -> None:
        for has_pole, slope in ((True, 0.0), (False, np.nan)):
            inverse = tg.defvjp(lambda x: x, lambda g, _y, x: -g / (x * x), has_pole=has_pole)
            x = leaf([0.0, 1.0])
            np.testing.assert_array_equal(tg.gradients(inverse(x), x, np.array([0.0, 1.0])), [slope, -1.0])

    def test_calls_without_a_gradient_are_not_recorded(self) -> None:
        f = tg.primitive(lambda x: x * 2)
        assert not f(tg.tensor([1.0])).requires_grad
        with tg.no_grad():
            assert not f(leaf()).requires_grad

    def test_a_tensor_that_needs_a_gradient_is_refused_as_a_static_argument(self) -> None:
        f = tg.defvjp(lambda x, *, scale: x * scale, lambda g, _y, _x, scale: g * scale)
        assert_tensor(f(leaf(), scale=tg.tensor(2.0)), [2.0, 4.0, 6.0])
        with pytest.raises(MissingRuleError, match=r"no derivative with respect to 'scale'.*shape \(\).*t.detach\(\)"):
            f(leaf(), scale=leaf(2.0))

    def test_a_list_of_tensors_is_no_array(self) -> None:
        total = tg.defvjp(lambda xs: sum(xs), lambda g, _y, _xs: g)
        with pytest.raises(DtypeError, match=r"<lambda>: a list of tensors is no array.*np.stack.*variadic=True"):
            total([leaf(), leaf()])

    @pytest.mark.parametrize("rule", [lambda: 0, lambda g: g, lambda g, y: g, lambda g, y, x: g])
    def test_a_rule_that_does_not_take_the_arguments_is_refused_at_once(self, rule: Callable[..., Any]) -> None:
        with pytest.raises(RuleError, match=r"cotangent, the output and its 2 array arguments, rule\(g, y, x0, x1"):
            tg.defvjp(lambda x, z: x * z, rule, rule)


@pytest.mark.usefixtures("scratch_table")
class TestSeveralOutputs:
    """Functions that return tuples."""

    @pytest.fixture
    def parts(self) -> Callable[..., Any]:
        def rule(g: Any, _y: Any, x: Any) -> Any:
            return (0.0 if g[0] is None else g[0] * 2 * x) + (0.0 if g[1] is None else 3 * g[1] * np.ones_like(x))

        return tg.defvjp(lambda x: (x * x, 3 * x), rule)

    def test_each_output_is_a_tensor(self, parts: Callable[..., Any]) -> None:
        x = leaf()
        assert_tensor(parts(x), (x.data**2, 3 * x.data))
        assert all(y.requires_grad and not y.is_leaf for y in parts(x))

    def test_gradients_of_one_or_both(self, parts: Callable[..., Any]) -> None:
        x = leaf([2.0])
        for use, slope in (
            (lambda a, b: a, 4),
            (lambda a, b: b, 3),
            (lambda a, b: a * b, 36),
            (lambda a, b: a * a + a, 36),
        ):
            assert tg.gradients(use(*parts(x)), x) == slope

    def test_the_rule_is_called_once_with_all_cotangents(self) -> None:
        calls = []

        def rule(g: Any, _y: Any, _x: Any) -> Any:
            calls.append(g)
            return g[0] + g[1]

        f = tg.defvjp(lambda x: (x + 1, x + 2), rule)
        x = leaf([1.0])
        a, b = f(x)
        tg.gradients(a * 2 + b * 3 + a, x)
        assert [[float(v[0]) for v in g] for g in calls] == [[3.0, 3.0]]

    def test_unused_outputs_have_no_cotangent(self) -> None:
        seen = []

        def rule(g: Any, _y: Any, _x: Any) -> Any:
            seen.append([v is None for v in g])
            return g[1]

        f = tg.defvjp(lambda x: (x + 1, x + 2, x + 3), rule)
        x = leaf([1.0])
        tg.gradients(f(x)[1], x)
        assert seen == [[True, False, True]]

    def test_second_order(self, parts: Callable[..., Any]) -> None:
        def f(x: Any) -> Any:
            a, b = parts(x)
            return a * b

        assert tg.grad(tg.grad(f))(2.0) == 36

    def test_outputs_are_targets(self, parts: Callable[..., Any]) -> None:
        a, b = parts(leaf([2.0]))
        by_a, by_b = tg.gradients(a * b, [a, b])
        assert (by_a.tolist(), by_b.tolist()) == ([6.0], [4.0])

    def test_kept_outputs_are_a_tuple(self) -> None:
        def rule(g: Any, y: Any, _x: Any) -> Any:
            return sum(k * g[k - 1] * y[k - 1] for k in (1, 2) if g[k - 1] is not None)

        f = tg.defvjp(lambda x: (np.exp(x), np.exp(2 * x)), rule)
        a, b = f(x := leaf([0.5]))
        np.testing.assert_allclose(tg.gradients(a + b, x), np.exp(0.5) + 2 * np.exp(1.0))
        third = tg.grad(tg.grad(tg.grad(lambda x: f(x)[0] * f(x)[1])))
        np.testing.assert_allclose(third(0.5), 27 * np.exp(1.5))

    def test_outputs_that_the_rule_does_not_name_are_not_kept(self) -> None:
        for rule, alive in ((lambda g, _y, _x: g[0], False), (lambda g, y, _x: g[0] * y[1], True)):
            f = tg.defvjp(lambda x: (x + 1, x + 2), rule)
            a, b = f(leaf())
            watched = weakref.ref(b.data)
            del b
            assert (watched() is not None) is alive
            assert a.requires_grad


@pytest.mark.usefixtures("scratch_table")
class TestVariadic:
    """Functions of any number of arrays, with one rule that is told which argument it is about."""

    @pytest.fixture
    def weighted(self) -> Callable[..., Any]:
        return tg.defvjp(
            lambda *xs, scale=1.0: sum(scale * (i + 1) * x for i, x in enumerate(xs)),
            lambda g, _y, *_xs, argnum, scale=1.0: g * scale * (argnum + 1),
            variadic=True,
        )

    def test_each_argument_gets_its_gradient(self, weighted: Callable[..., Any]) -> None:
        leaves = [leaf([1.0]) for _ in range(5)]
        assert_tensor(weighted(*leaves), [15.0])
        assert [float(g[0]) for g in tg.gradients(weighted(*leaves, scale=2.0), leaves)] == [2, 4, 6, 8, 10]

    def test_some_arguments_are_arrays(self, weighted: Callable[..., Any]) -> None:
        x = leaf([1.0])
        assert tg.gradients(weighted(np.ones(1), x, 1.0), x) == 2

    def test_thousands_of_arguments(self, weighted: Callable[..., Any]) -> None:
        x = leaf([1.0])
        assert tg.gradients(weighted(*[x] * 5000), x) == 5000 * 5001 / 2

    def test_second_order(self) -> None:
        product = tg.defvjp(
            lambda *xs: np.prod(xs),
            lambda g, _y, *xs, argnum: g * product(*xs[:argnum], *xs[argnum + 1 :], 1.0),
            variadic=True,
        )
        hessian = tg.hessian(lambda x: product(x[0], x[1], x[2]))(np.array([2.0, 3.0, 5.0]))
        assert hessian.tolist() == [[0, 5, 3], [5, 0, 2], [3, 2, 0]]


@pytest.mark.usefixtures("scratch_table")
class TestMemory:
    """A rule keeps alive what it names, and nothing else."""

    @staticmethod
    def kept(rule: Callable[..., Any]) -> tuple[bool, bool, bool]:
        """Whether output, first and second input outlive a recorded call, for a rule of the first input."""
        f = tg.defvjp(lambda x, z: x * z, rule, tg.zero)
        start = leaf()
        x, z = start + 1.0, tg.tensor([4.0, 5.0, 6.0])
        y = f(x, z)
        end = y + 0.0
        watched = [weakref.ref(t.data) for t in (y, x, z)]
        gc.disable()
        try:
            del x, y, z
            alive = tuple(w() is not None for w in watched)
        finally:
            gc.enable()
        end.backward(np.ones(3))
        return alive

    @pytest.mark.parametrize(
        ("rule", "alive"),
        [
            (lambda g, _y, _x, _z: g, (False, False, False)),
            (lambda g, y, _x, _z: g * y, (True, False, False)),
            (lambda g, _y, x, _z: g * x, (False, True, False)),
            (lambda g, _y, _x, z: g * z, (False, False, True)),
            (lambda g, y, x, z: g * y * x * z, (True, True, True)),
        ],
        ids=["nothing", "output", "first", "second", "all"],
    )
    def test_what_a_rule_names_is_kept(self, rule: Callable[..., Any], alive: tuple[bool, bool, bool]) -> None:
        assert self.kept(rule) == alive

    def test_what_only_the_rule_of_a_constant_names_is_not_kept(self) -> None:
        product = tg.defvjp(lambda x, z: x * z, lambda g, _y, _x, z: g * z, lambda g, _y, x, _z: g * x)
        for multiply in (product, np.multiply):
            tracked, constant = leaf() + 0.0, tg.tensor([4.0, 5.0, 6.0])
            for arguments in ((tracked, constant), (constant, tracked)):
                y = multiply(*arguments)
                inputs = y._node.inputs
                assert [x is t.data for x, t in zip(inputs, arguments, strict=True)] == [
                    t is constant for t in arguments
                ]

    def test_a_sum_keeps_neither_of_its_terms(self) -> None:
        for arguments in ((leaf(), np.ones(3)), (np.ones(3), leaf()), (leaf(), leaf())):
            y = np.add(*arguments)
            assert not any(isinstance(x, np.ndarray) for x in (*y._node.inputs, y._node.output))

    def test_an_unnamed_parameter_shows_shape_dtype_ndim_and_size(self) -> None:
        seen = []

        def rule(g: Any, _y: Any, _x: Any, _z: Any) -> Any:
            seen.extend((p.shape, p.dtype, p.ndim, p.size) for p in (_y, _x, _z))
            assert not hasattr(_x, "sum")
            return g

        f = tg.defvjp(lambda x, z: x + z, rule, tg.zero)
        f(leaf(A), tg.tensor(np.float32(1))).backward(np.ones((2, 3)))
        assert seen == [((2, 3), np.float64, 2, 6), ((2, 3), np.float64, 2, 6), ((), np.float32, 0, 1)]

    def test_a_variadic_rule_keeps_all_arguments_or_none(self) -> None:
        for parameter, alive in (("xs", True), ("_xs", False)):
            rule = eval(f"lambda g, _y, *{parameter}, argnum: g")
            f = tg.defvjp(lambda *xs: sum(xs), rule, variadic=True)
            constant = tg.tensor(np.ones(3))
            watched = weakref.ref(constant.data)
            y = f(leaf(), constant)
            del constant
            assert (watched() is not None) is alive
            del y
