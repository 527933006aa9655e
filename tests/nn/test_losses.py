"""Losses: their formulae, PyTorch's, their gradients, and what they say about input that does not fit.

Cross-entropy without options is the one of ``fused.py``, the formulae for logits are those of ``functions.py``; the
tests of these say more about the edges of the numbers.
"""

import math

import numpy as np
import pytest
from kit import check_gradient

import tinygrad_np as tg
from tinygrad_np import functions, fused, nn

RNG = np.random.default_rng(0)
X, TARGET = RNG.normal(size=(2, 4, 3))
LABELS, ONE_HOT = np.array([0, 2, 1, 1]), np.eye(3)[[0, 2, 1, 1]]
YES = RNG.random((4, 3)) < 0.5
SOFT = functions.softmax(TARGET)
WEIGHT = np.array([0.5, 2.0, 1.25])

REGRESSION = [nn.mse_loss, nn.mae_loss, nn.huber_loss]
CASES = {
    "mse": lambda x, **o: nn.mse_loss(x, TARGET, **o),
    "mae": lambda x, **o: nn.mae_loss(x, TARGET, **o),
    "huber": lambda x, **o: nn.huber_loss(x, TARGET, 0.7, **o),
    "bce": lambda x, **o: nn.binary_cross_entropy(x, YES, **o),
    "bce, weighted": lambda x, **o: nn.binary_cross_entropy(x, YES, weight=(1.5, 0.5), label_smoothing=0.2, **o),
    "bce of probabilities": lambda x, **o: nn.binary_cross_entropy(functions.sigmoid(x), YES, from_logits=False, **o),
    "cce": lambda x, **o: nn.cross_entropy(x, LABELS, **o),
    "cce, weighted": lambda x, **o: nn.cross_entropy(x, LABELS, weight=WEIGHT, **o),
    "cce, smoothed": lambda x, **o: nn.cross_entropy(x, LABELS, label_smoothing=0.3, **o),
    "cce, both": lambda x, **o: nn.cross_entropy(x, LABELS, weight=WEIGHT, label_smoothing=0.3, **o),
    "cce of one-hot": lambda x, **o: nn.cross_entropy(x, ONE_HOT, weight=WEIGHT, label_smoothing=0.3, **o),
    "cce of soft": lambda x, **o: nn.cross_entropy(x, SOFT, weight=WEIGHT, label_smoothing=0.3, **o),
    "cce of probabilities": lambda x, **o: nn.cross_entropy(functions.softmax(x), LABELS, from_logits=False, **o),
}
every = pytest.mark.parametrize("loss", CASES.values(), ids=CASES)


# ------------------------------------------------------------------------------------------------------------- values


def test_each_is_its_formula():
    np.testing.assert_allclose(nn.mse_loss(X, TARGET), np.mean((X - TARGET) ** 2))
    np.testing.assert_allclose(nn.mae_loss(X, TARGET), np.mean(abs(X - TARGET)))
    x = np.array([-3.0, -0.5, 0.0, 0.5, 2.0, 3.0])
    found = nn.huber_loss(x, np.zeros(6), delta=2.0, reduction="none")
    np.testing.assert_allclose(found, [4, 0.125, 0, 0.125, 2, 4])


def test_cross_entropy_without_options_is_the_fast_one():
    assert nn.cross_entropy(X, LABELS) == fused.cross_entropy(X, LABELS)
    z = tg.tensor(X, requires_grad=True)
    assert nn.cross_entropy(z, LABELS)._node.function.name == fused.cross_entropy(z, LABELS)._node.function.name


@every
def test_the_sum_and_the_mean_are_those_of_the_single_losses(loss):
    losses = loss(X, reduction="none")
    assert losses.shape in (X.shape, X.shape[:1])
    np.testing.assert_allclose(loss(X, reduction="sum"), np.sum(losses), rtol=1e-14)
    weights = np.sum(WEIGHT[LABELS]) if loss in (CASES["cce, weighted"], CASES["cce, both"]) else losses.size
    np.testing.assert_allclose(loss(X), np.sum(losses) / weights, rtol=1e-14)


@every
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradients_are_the_numerical_ones(loss, reduction, order):
    check_gradient(lambda x: loss(x, reduction=reduction), [X], order)


def test_targets_have_gradients_too():
    for loss in REGRESSION:
        check_gradient(loss, [X, TARGET])
    check_gradient(lambda x, y: nn.cross_entropy(x, y, weight=WEIGHT, label_smoothing=0.1), [X, SOFT])
    check_gradient(lambda x, y: nn.binary_cross_entropy(x, y, weight=(1, 2), label_smoothing=0.1), [X, SOFT])


def test_one_hot_rows_mean_the_class_numbers():
    for options in ({"reduction": "none"}, {"label_smoothing": 0.25}, {"weight": WEIGHT, "reduction": "sum"}):
        numbers, rows = (nn.cross_entropy(X, y, **options) for y in (LABELS, ONE_HOT))
        np.testing.assert_allclose(numbers, rows, rtol=1e-14)


def test_smoothing_moves_a_part_of_each_label_to_all_classes():
    smoothed = 0.7 * ONE_HOT + 0.3 / 3
    np.testing.assert_allclose(nn.cross_entropy(X, LABELS, label_smoothing=0.3), nn.cross_entropy(X, smoothed))
    found = nn.binary_cross_entropy(X, YES, label_smoothing=0.3)
    np.testing.assert_allclose(found, nn.binary_cross_entropy(X, 0.7 * YES + 0.15))


def test_weights_multiply_the_losses_of_their_class():
    losses = nn.cross_entropy(X, LABELS, reduction="none")
    np.testing.assert_allclose(nn.cross_entropy(X, LABELS, weight=WEIGHT, reduction="none"), losses * WEIGHT[LABELS])
    losses = nn.binary_cross_entropy(X, YES, reduction="none")
    weighted = nn.binary_cross_entropy(X, YES, weight=[3, 0.5], reduction="none")
    np.testing.assert_allclose(weighted, losses * np.where(YES, 0.5, 3))


def test_probabilities_and_logits_mean_the_same():
    found = nn.cross_entropy(functions.softmax(X), LABELS, from_logits=False)
    np.testing.assert_allclose(found, nn.cross_entropy(X, LABELS), rtol=1e-13)
    found = nn.binary_cross_entropy(functions.sigmoid(X), YES, from_logits=False)
    np.testing.assert_allclose(found, nn.binary_cross_entropy(X, YES), rtol=1e-13)


def test_a_sure_and_wrong_probability_has_a_finite_loss_and_a_gradient_that_leads_away():
    p = tg.tensor([0.0, 1.0, 1.0, 0.0], requires_grad=True)
    loss = nn.binary_cross_entropy(p, [1, 0, 1, 0], from_logits=False, clip=1e-3, reduction="none")
    np.testing.assert_allclose(loss.data, [-math.log(1e-3)] * 2 + [-math.log1p(-1e-3)] * 2, rtol=1e-12)
    np.sum(loss).backward()
    np.testing.assert_allclose(p.grad, [-1e3, 1e3, -1 / 0.999, 1 / 0.999], rtol=1e-12)

    p = tg.tensor([[0.0, 1.0]], requires_grad=True)
    loss = nn.cross_entropy(p, [0], from_logits=False)
    loss.backward()
    np.testing.assert_allclose(loss.data, -math.log(1e-7), rtol=1e-12)
    np.testing.assert_allclose(p.grad, [[-1e7, 0]], rtol=1e-12)


@pytest.mark.parametrize("labels", [np.array([0, 2]), np.eye(3)[[0, 2]]])
def test_classes_that_are_masked_out_take_no_part(labels):
    x = tg.tensor([[1.0, -np.inf, 1.0], [0.0, -np.inf, 3.0]], requires_grad=True)
    losses = nn.cross_entropy(x, labels, reduction="none")
    np.testing.assert_allclose(losses.data, [math.log(2), math.log1p(math.exp(-3))], rtol=1e-14)
    np.sum(losses).backward()
    np.testing.assert_allclose(x.grad, functions.softmax(x.data) - np.eye(3)[[0, 2]], rtol=1e-12)


def test_the_gradient_of_the_absolute_error_is_0_where_there_is_none():
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    nn.mae_loss(x, np.array([2.0, 2.0, 2.0]), reduction="sum").backward()
    np.testing.assert_array_equal(x.grad, [-1, 0, 1])


def test_the_huber_loss_is_a_parabola_where_there_is_no_error_too():
    hessian = tg.hessian(lambda p: nn.huber_loss(p, np.zeros(3), delta=2.0, reduction="sum"))
    np.testing.assert_array_equal(hessian(np.zeros(3)), np.eye(3))
    np.testing.assert_array_equal(hessian(np.array([-0.5, 0.0, 3.0])), np.diag([1, 1, 0]))
    assert tg.grad(lambda p: nn.huber_loss(p, 0.0))(3j) == 1j


@pytest.mark.parametrize("loss", [nn.mse_loss, nn.mae_loss, nn.huber_loss, nn.binary_cross_entropy])
def test_an_empty_batch_has_loss_0(loss):
    assert loss(np.ones((0, 3)), np.ones((0, 3))) == 0
    assert loss(np.ones((0, 3)), np.ones((0, 3)), reduction="none").shape == (0, 3)


def test_an_empty_batch_of_classes_has_loss_0():
    for options in ({}, {"weight": WEIGHT}, {"label_smoothing": 0.5}, {"reduction": "sum"}):
        assert nn.cross_entropy(np.ones((0, 3)), np.zeros(0, int), **options) == 0


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_that_of_the_predictions(loss, dtype):
    x = tg.tensor(X.astype(dtype), requires_grad=True)
    for reduction in ("mean", "sum", "none"):
        y = loss(x, reduction=reduction)
        assert y.dtype == loss(x.data, reduction=reduction).dtype == dtype
    np.sum(y).backward()
    assert x.grad.dtype == dtype


@every
def test_what_is_not_a_number_is_not_hidden(loss):
    x = X.copy()
    x[1] = np.nan
    with np.errstate(invalid="ignore"):  # np.logaddexp warns of it
        assert np.isnan(loss(x))


@every
def test_a_compiled_loss_is_the_loss(loss):
    compiled = tg.compile(tg.value_and_grad(loss))
    for x in (X, X + 1, X * 2):
        for ours, expected in zip(compiled(x), tg.value_and_grad(loss)(x), strict=True):
            np.testing.assert_array_equal(ours, expected)
    assert compiled.captures == 1


@pytest.mark.parametrize("weight", [WEIGHT, WEIGHT.tolist()], ids=["array", "list"])
def test_labels_may_be_arguments_of_a_compiled_loss_and_are_checked_on_every_call(weight):
    compiled = tg.compile(lambda x, y: nn.cross_entropy(x, y, weight=weight, label_smoothing=0.1))
    for labels in (LABELS, LABELS[::-1].copy()):
        expected = nn.cross_entropy(X, labels, weight=weight, label_smoothing=0.1)
        np.testing.assert_array_equal(compiled(X, labels), expected)
    with pytest.raises(tg.errors.ShapeError, match="labels must be from 0 to 2"):
        compiled(X, LABELS + 1)
    compiled = tg.compile(lambda p, y: nn.binary_cross_entropy(p, y, from_logits=False))
    np.testing.assert_array_equal(compiled(SOFT, ONE_HOT), nn.binary_cross_entropy(SOFT, ONE_HOT, from_logits=False))
    with pytest.raises(tg.errors.ShapeError, match="no probabilities"):
        compiled(SOFT + 1, ONE_HOT)
    with pytest.raises(tg.errors.ShapeError, match=r"labels of shape .* must be from 0 to 1"):
        compiled(SOFT, ONE_HOT * 2)


# ------------------------------------------------------------------------------------------------------------ PyTorch


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_values_are_pytorchs(reduction):
    torch = pytest.importorskip("torch")
    x, target, labels, soft, weight = map(torch.tensor, (X, TARGET, LABELS, SOFT, WEIGHT))
    theirs = torch.nn.functional
    pairs = [
        (CASES["mse"], theirs.mse_loss(x, target, reduction=reduction)),
        (CASES["mae"], theirs.l1_loss(x, target, reduction=reduction)),
        (CASES["huber"], theirs.huber_loss(x, target, delta=0.7, reduction=reduction)),
        (
            CASES["bce"],
            theirs.binary_cross_entropy_with_logits(x, torch.tensor(YES).double(), reduction=reduction),
        ),
        (CASES["cce, weighted"], theirs.cross_entropy(x, labels, weight, reduction=reduction)),
        (CASES["cce, smoothed"], theirs.cross_entropy(x, labels, label_smoothing=0.3, reduction=reduction)),
        (CASES["cce, both"], theirs.cross_entropy(x, labels, weight, label_smoothing=0.3, reduction=reduction)),
        (CASES["cce of soft"], theirs.cross_entropy(x, soft, weight, label_smoothing=0.3, reduction=reduction)),
    ]
    for ours, expected in pairs:
        np.testing.assert_allclose(ours(X, reduction=reduction), expected.numpy(), rtol=1e-13)


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("loss", [*REGRESSION, nn.binary_cross_entropy])
def test_shapes_must_be_equal(loss):
    with pytest.raises(tg.errors.ShapeError, match=rf"^{loss.__name__}: .*\(4, 1\) and .*\(4,\) must have one shape"):
        loss(np.ones((4, 1)), np.ones(4))


@pytest.mark.parametrize(
    ("call", "error", "complaint"),
    [
        (lambda: nn.cross_entropy(X, LABELS + 1, reduction="none"), ValueError, "cross_entropy: labels must be from 0"),
        (lambda: nn.cross_entropy(X, 2 * ONE_HOT, label_smoothing=0.1), ValueError, r"must be from 0 to 1, but 4 "),
        (lambda: nn.cross_entropy(X, LABELS * 1.0, reduction="sum"), TypeError, "must be integers, not float64"),
        (lambda: nn.cross_entropy(X, LABELS, label_smoothing=1), ValueError, "label_smoothing must be .* below 1"),
        (lambda: nn.cross_entropy(X, LABELS, weight=[1, 2]), ValueError, "weight must be 3 numbers, .* of shape"),
        (lambda: nn.cross_entropy(X, LABELS, weight=[1, 2, -1]), ValueError, r"weight must be finite .* -1\]"),
        (lambda: nn.cross_entropy(X, LABELS, weight=[1, 2, np.nan]), ValueError, "weight must be finite"),
        (lambda: nn.cross_entropy(X, LABELS, weight="abc"), TypeError, "weight must be 3 numbers, not 'abc'"),
        (lambda: nn.cross_entropy(X, LABELS, from_logits=False), ValueError, "predictions .* pass logits with"),
        (lambda: nn.cross_entropy(SOFT, LABELS, from_logits=False, clip=0.5), ValueError, "clip must be"),
        (lambda: nn.binary_cross_entropy(X, X), ValueError, "binary_cross_entropy: labels .* must be from 0 to 1"),
        (lambda: nn.binary_cross_entropy(X, YES, weight=2), ValueError, "weight must be 2 numbers, .* of shape"),
        (lambda: nn.binary_cross_entropy(X, YES, from_logits=False), ValueError, "predictions of shape .*are from -"),
        (lambda: nn.huber_loss(X, TARGET, 0), ValueError, "huber_loss: delta must be above zero, not 0"),
        (lambda: nn.mse_loss(X, TARGET, reduction="avg"), ValueError, "mse_loss: reduction must be .* not 'avg'"),
        (lambda: nn.cross_entropy(X, LABELS, reduction=None), ValueError, "cross_entropy: reduction must be"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, complaint):
    with pytest.raises(error, match=complaint) as caught:
        call()
    assert isinstance(caught.value, tg.errors.TinygradError)
