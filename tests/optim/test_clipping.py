"""Clipping: what becomes of the gradients, and what is refused."""

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.optim import clip_grad_norm, clip_grad_value


def with_gradient(gradient, dtype=np.float64):
    gradient = np.array(gradient, dtype)
    w = tg.tensor(np.zeros_like(gradient), requires_grad=True)
    w.grad = gradient
    return w


def test_gradients_are_scaled_together_to_the_norm():
    parameters = [with_gradient([3.0, 0.0]), with_gradient([[4.0], [12.0]])]
    norm = clip_grad_norm(iter(parameters), 6.5)
    assert norm == 13
    np.testing.assert_allclose(parameters[0].grad, [1.5, 0])
    np.testing.assert_allclose(parameters[1].grad, [[2], [6]])


@pytest.mark.parametrize("max_norm", [5.0, 5.1, 100])
def test_a_norm_within_the_limit_leaves_every_bit(max_norm):
    w = with_gradient([3.0, 4.0])
    assert clip_grad_norm([w], max_norm) == 5
    assert w.grad.tolist() == [3, 4]


def test_it_is_pytorchs():
    torch = pytest.importorskip("torch")
    gradients = [np.random.default_rng(i).normal(size=(4, i + 1)) for i in range(3)]
    ours = [with_gradient(g) for g in gradients]
    theirs = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
    for w, g in zip(theirs, gradients, strict=True):
        w.grad = torch.tensor(g)
    assert clip_grad_norm(ours, 2.0) == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, 2.0).item(), rel=1e-14)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-6)  # PyTorch adds 1e-6 to the norm
    torch.nn.utils.clip_grad_value_(theirs, 0.1)
    clip_grad_value(ours, 0.1)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, np.complex128])
def test_dtypes_are_kept_and_nothing_overflows(dtype):
    largest = np.finfo(dtype).max / 4 if np.finfo(dtype).bits < 64 else 1e100
    w = with_gradient([largest, 0], dtype)
    clip_grad_norm([w], 1.0)
    assert w.grad.dtype == dtype
    np.testing.assert_allclose(w.grad, [1, 0], rtol=1e-3)


@pytest.mark.parametrize("call", [lambda f: f, tg.compile])
@pytest.mark.parametrize(
    ("dtype", "size", "max_norm"),
    [
        (np.float16, 30_000, 1e-3),
        (np.float16, 65_504, 10),
        (np.float32, 3e38, 1e-5),
        (np.float32, 1e-45, 1e-45),
        (np.float64, 1e200, 1.0),
        (np.float64, 1.7e308, 1e-5),
        (np.float64, 1e-200, 1e-250),
        (np.complex128, 1e300j, 1.0),
    ],
)
def test_finite_gradients_of_any_size_come_down_to_the_norm(call, dtype, size, max_norm):
    w = with_gradient(np.zeros(4), dtype)

    @call
    def clipped(gradient):
        w.grad = None
        (w * 1).backward(gradient)
        return clip_grad_norm([w], max_norm), w.grad

    for _ in range(2):
        with np.errstate(over="ignore"):  # that of the norm, which may be too large for a number
            norm, gradient = clipped(np.full(4, size, dtype))
            assert norm == pytest.approx(2 * abs(complex(dtype(size))), rel=1e-6)
        expected = max_norm / 2 * (size / abs(size))
        np.testing.assert_allclose(gradient, np.full(4, expected, dtype), rtol=2 * np.finfo(dtype).eps)
        assert gradient.dtype == dtype


@pytest.mark.parametrize(("dtype", "least"), [(np.float16, 6e-8), (np.float32, 1e-45), (np.float64, 5e-324)])
@pytest.mark.parametrize("max_norm", [1, 1e300])
def test_the_smallest_gradients_keep_every_bit_within_the_limit(dtype, least, max_norm):
    w = with_gradient([least, 0, -3 * least], dtype)
    before = w.grad.copy()
    assert clip_grad_norm([w], max_norm) > 0
    np.testing.assert_array_equal(w.grad, before, strict=True)


def test_complex_gradients_have_a_norm_too():
    w = with_gradient([3 + 4j], complex)
    assert clip_grad_norm([w], 1.0) == 5
    np.testing.assert_allclose(w.grad, [0.6 + 0.8j])


def test_a_gradient_that_is_not_a_number_shows_in_the_norm_and_everywhere():
    first, second = with_gradient([np.nan, 1.0]), with_gradient([1.0])
    assert np.isnan(clip_grad_norm([first, second], 1.0))
    assert np.isnan(first.grad).all()
    assert np.isnan(second.grad).all()


def test_each_element_is_limited():
    w = with_gradient([-3.0, -0.5, 0.0, 0.5, 3.0, np.nan, np.inf])
    clip_grad_value([w], 1)
    np.testing.assert_array_equal(w.grad, [-1, -0.5, 0, 0.5, 1, np.nan, 1])


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_two_leaves_with_one_gradient_array_are_clipped_once(clip):
    a, b = (tg.tensor([0.0, 0.0], requires_grad=True) for _ in range(2))
    a.grad = b.grad = np.array([3.0, 4.0])
    clip([a, b], 1.0)
    np.testing.assert_array_equal(a.grad, b.grad)
    assert a.grad.max() > 0.5


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_parameters_without_a_gradient_are_left_alone(clip):
    w = tg.tensor([1.0], requires_grad=True)
    clip([w], 1.0)
    clip([], 1.0)
    assert w.grad is None


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
@pytest.mark.parametrize(
    ("limit", "error", "complaint"),
    [
        (0, ValueError, "must be above zero, not 0"),
        (-1.0, ValueError, r"must be zero or above, and finite, not -1\.0"),
        (np.nan, ValueError, "must be zero or above, and finite, not nan"),
        ("1e", TypeError, "must be a number, not '1e'"),
    ],
)
def test_a_limit_is_above_zero(clip, limit, error, complaint):
    w = with_gradient([3.0])
    with pytest.raises(error, match=f"^{clip.__name__}: max_.* {complaint}"):
        clip([w], limit)
    assert w.grad.tolist() == [3]


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_what_is_no_list_of_tensors_is_refused(clip):
    with pytest.raises(tg.errors.DtypeError, match=r"must be a list of tensors, not one tensor: write \[t\]"):
        clip(with_gradient([1.0]), 1.0)
    with pytest.raises(tg.errors.DtypeError, match="parameter 1 is a ndarray, not a tensor"):
        clip([with_gradient([1.0]), np.ones(1)], 1.0)


def test_complex_numbers_have_no_order_to_clip_by():
    with pytest.raises(tg.errors.DtypeError, match=r"complex128.*no order: use clip_grad_norm"):
        clip_grad_value([with_gradient([1j], complex)], 1.0)
