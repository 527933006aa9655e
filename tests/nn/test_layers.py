"""What each layer computes, what it starts from, and what it says about input that does not fit."""

import functools

import numpy as np
import pytest
from kit import check_gradient

import tinygrad_np as tg
from tinygrad_np import nn


def test_dense_computes_a_product_and_a_sum():
    layer = nn.Dense(3, 2)
    layer.bias.data[...] = [1, -1]
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(layer(x).data, x @ layer.weight.data + [1, -1], rtol=1e-6)
    np.testing.assert_allclose(layer(tg.tensor(x)).data, layer(x).data)
    assert layer(x[0]).shape == (2,)
    assert layer(x.reshape(2, 2, 3)).shape == (2, 2, 2)
    assert layer(x[:0]).shape == (0, 2)


def test_dense_without_bias():
    layer = nn.Dense(3, 2, bias=False)
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    np.testing.assert_array_equal(layer(np.eye(3, dtype=np.float32)).data, layer.weight.data)


def test_the_initial_weights_can_be_chosen():
    layer = nn.Dense(30, 20, init=functools.partial(nn.init.uniform, low=-0.5, high=0.5))
    assert 0.45 < np.abs(layer.weight.data).max() <= 0.5
    with pytest.raises(tg.errors.ShapeError, match=r"Dense: init made an array of shape \(3,\), not \(3, 2\)"):
        nn.Dense(3, 2, init=lambda shape, dtype: np.ones(3, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_are_leaves_of_the_dtype_asked_for(dtype):
    layer = nn.Dense(3, 2, dtype=dtype)
    for parameter in layer.parameters():
        assert parameter.dtype == dtype
        assert parameter.is_leaf
        assert parameter.requires_grad
    assert layer(np.ones((4, 3), dtype)).dtype == dtype


def test_parameters_are_float32_by_default_as_are_results_and_gradients():
    model = nn.Sequential(nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 2))
    loss = nn.cross_entropy(model(np.ones((5, 3), np.float32)), np.zeros(5, np.uint8))
    loss.backward()
    assert {loss.dtype, *(p.dtype for p in model.parameters()), *(p.grad.dtype for p in model.parameters())} == {
        np.dtype(np.float32)
    }


def test_weights_start_with_he_and_biases_at_0():
    layer = nn.Dense(400, 300)
    assert abs(float(layer.weight.data.std()) - np.sqrt(2 / 400)) < 1e-3
    assert not layer.bias.data.any()


def test_relu_and_sequential_in_order():
    first, second = nn.Dense(2, 2, dtype=np.float64), nn.Dense(2, 1, dtype=np.float64)
    model = nn.Sequential(first, nn.ReLU(), second)
    x = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_array_equal(model(x).data, second(np.maximum(first(x).data, 0)).data)
    assert nn.Sequential()(x) is x


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_a_network_are_the_numerical_ones(order):
    model = nn.Sequential(nn.Dense(3, 4, dtype=np.float64), nn.ReLU(), nn.Dense(4, 2, dtype=np.float64))
    first, _, last = model.layers
    x, labels = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])

    def loss(*parameters):
        first.weight, first.bias, last.weight, last.bias = parameters
        return nn.cross_entropy(model(x), labels)

    check_gradient(loss, [p.data for p in model.parameters()], order)


# ------------------------------------------------------------------------------------------------------------ flatten


def test_flatten_makes_a_row_of_each_example():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(nn.Flatten()(x), x.reshape(2, 12))
    assert np.shares_memory(nn.Flatten()(x), x)
    assert nn.Flatten()(x[:0]).shape == (0, 12)
    assert nn.Flatten()(np.ones(3)).shape == (3, 1)
    assert nn.Flatten()(tg.tensor(x)).shape == (2, 12)


# ------------------------------------------------------------------------------------------------------------ dropout


def test_dropout_sets_a_part_to_0_and_scales_the_rest():
    y = nn.Dropout(0.25)(np.ones((200, 200)))
    assert set(np.unique(y)) == {0, 1 / 0.75}
    # The share of zeros in n draws lies within 4 standard deviations in all samples but one of 16,000.
    assert abs(np.mean(y == 0) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / y.size)
    assert abs(np.mean(y[:-1] * y[1:] > 0) - 0.75**2) < 0.01  # each on its own


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_seed_gives_one_mask_in_every_dtype(dtype):
    layer = nn.Dropout(0.4)
    tg.manual_seed(5)
    expected = layer(np.ones(50)) > 0
    tg.manual_seed(5)
    y = layer(np.ones(50, dtype))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y > 0, expected)
    assert np.any(layer(np.ones(50, dtype)) != y)  # and another mask next time


def test_dropout_passes_on_gradients_where_it_passes_on_elements():
    x = tg.tensor(np.random.default_rng(0).normal(size=50), requires_grad=True)
    y = nn.Dropout(0.5)(x)
    np.sum(y).backward()
    np.testing.assert_array_equal(x.grad, np.where(y.data == 0, 0, 2))
    np.testing.assert_array_equal(y.data, x.data * x.grad)


def test_dropout_draws_nothing_where_it_drops_nothing():
    x = np.ones(3)
    state = tg.random.generator().bit_generator.state
    assert nn.Dropout(0.5).eval()(x) is x
    assert nn.Dropout(0)(x) is x
    assert tg.random.generator().bit_generator.state == state


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dropout_of_nearly_all_is_scaled_by_a_finite_number(dtype):
    layer = nn.Dropout(0.99999)
    x = tg.tensor(np.full(400_000, 0.01, dtype), requires_grad=True)
    y = layer(x)
    y.backward(np.full(x.shape, 0.02, dtype))
    assert y.dtype == x.grad.dtype == dtype
    assert np.any(y.data)
    for found, size in ((y.data, 1000), (x.grad, 2000)):
        np.testing.assert_allclose(found, np.where(y.data != 0, size, 0), rtol=2e-3)


def test_dropout_does_not_hide_what_is_not_a_number():
    assert np.isnan(nn.Dropout(0.5)(np.full(9, np.nan))).all()


# ----------------------------------------------------------------------------------------------------- normalisation


def test_batch_norm_normalises_each_feature_and_then_scales_and_shifts_it():
    layer = nn.BatchNorm(3, eps=0.01, dtype=np.float64)
    layer.weight.data[...], layer.bias.data[...] = [1, 2, 3], [0, 1, -1]
    for shape in ((6, 3), (2, 5, 3)):
        x = np.random.default_rng(0).normal(2, 3, shape)
        axes = tuple(range(len(shape) - 1))
        expected = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 0.01) * [1, 2, 3] + [0, 1, -1]
        np.testing.assert_allclose(layer(x).data, expected, rtol=1e-12, atol=1e-14)


def test_batch_norm_is_pytorchs_while_training_and_after():
    torch = pytest.importorskip("torch")
    ours, theirs = nn.BatchNorm(3, momentum=0.2, dtype=np.float64), torch.nn.BatchNorm1d(3, momentum=0.2).double()
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = rng.normal(3, 2, (6, 3))
        np.testing.assert_allclose(ours(x).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(ours.running_mean.data, theirs.running_mean.numpy(), rtol=1e-13)
    np.testing.assert_allclose(ours.running_var.data, theirs.running_var.numpy(), rtol=1e-13)
    x = rng.normal(size=(1, 3))
    expected = theirs.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(x).data, expected, rtol=1e-12)


def test_running_statistics_are_state_but_not_trained_and_rest_in_eval_mode():
    layer = nn.BatchNorm(2)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var"]
    arrays = layer.running_mean.data, layer.running_var.data
    x = np.array([[0, 2], [2, 6]], np.float32)
    layer(x)
    np.testing.assert_allclose(layer.running_mean.data, [0.1, 0.4], rtol=1e-6)
    np.testing.assert_allclose(layer.running_var.data, [0.9 + 0.1 * 2, 0.9 + 0.1 * 8], rtol=1e-6)
    before = layer.state_dict()
    y = layer.eval()(x)
    np.testing.assert_allclose(y.data, (x - before["running_mean"]) / np.sqrt(before["running_var"] + 1e-5), rtol=1e-6)
    assert layer.running_mean.data is arrays[0]
    assert layer.running_var.data is arrays[1]
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_graph_of_eval_mode_survives_a_training_step():
    layer = nn.BatchNorm(2, dtype=np.float64)
    x = tg.tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    y = layer.eval()(x)
    layer.train()(np.array([[5.0, 5.0], [9.0, 1.0]]))
    np.sum(y).backward()
    np.testing.assert_allclose(x.grad, 1 / np.sqrt(1 + 1e-5) * np.ones((1, 2)))


def test_layer_norm_normalises_each_example():
    layer = nn.LayerNorm((2, 3), eps=0.01, dtype=np.float64)
    layer.weight.data[...] = weight = np.arange(6.0).reshape(2, 3)
    layer.bias.data[...] = 1
    x = np.random.default_rng(0).normal(2, 3, (4, 5, 2, 3))
    mean, variance = (f(x, axis=(2, 3), keepdims=True) for f in (np.mean, np.var))
    expected = (x - mean) / np.sqrt(variance + 0.01) * weight + 1
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-12, atol=1e-14)
    assert layer(x[:0]).shape == (0, 5, 2, 3)
    assert list(layer.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("make", [nn.BatchNorm, nn.LayerNorm])
@pytest.mark.parametrize("order", [1, 2])
def test_normalisation_has_the_numerical_gradients(make, order):
    layer = make(3, eps=0.1, dtype=np.float64)

    def function(x, weight, bias):
        layer.weight, layer.bias = weight, bias
        return layer(x)

    rng = np.random.default_rng(0)
    check_gradient(function, [rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=3)], order)


@pytest.mark.parametrize("make", [nn.BatchNorm, nn.LayerNorm])
def test_normalisation_keeps_float32(make):
    layer = make(3)
    x = tg.tensor(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), requires_grad=True)
    y = layer(x)
    np.sum(y * y).backward()
    assert {y.dtype, x.grad.dtype, *(p.grad.dtype for p in layer.parameters())} == {np.dtype(np.float32)}
    assert layer.eval()(x).dtype == np.float32
    assert {array.dtype for array in layer.state_dict().values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("make", [nn.BatchNorm, nn.LayerNorm])
@pytest.mark.parametrize("size", [1, 300, 15_000])
@pytest.mark.parametrize("call", [lambda f: f, tg.compile])
def test_normalisation_in_float16_is_that_in_float64_rounded(make, size, call):
    """The squares of 300 and the sums of many gradients are not among its numbers."""
    features = 4 if make is nn.BatchNorm else 2000
    narrow, wide = make(features, dtype=np.float16), make(features, dtype=np.float64)
    x = (size * np.random.default_rng(0).uniform(-1, 1, (8000 // features, features))).astype(np.float16)
    cotangent = (30 * np.random.default_rng(1).uniform(0, 1, x.shape)).astype(np.float16)

    def outcome(layer, dtype):
        @call
        def pulled(x, cotangent):
            x = tg.tensor(x, requires_grad=True)
            y = layer(x)
            y.backward(cotangent)
            return y.data, x.grad, layer.weight.grad, layer.bias.grad

        return pulled(x.astype(dtype), cotangent.astype(dtype))

    for found, expected in zip(outcome(narrow, np.float16), outcome(wide, float), strict=True):
        assert found.dtype == np.float16
        with np.errstate(over="ignore"):
            expected = expected.astype(np.float16)
        scale = np.abs(expected[np.isfinite(expected)]).max()
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3 * scale)
    for name, array in narrow.state_dict().items():
        np.testing.assert_allclose(array, wide.state_dict()[name], rtol=1e-3, atol=1e-3, err_msg=name)
    narrow.eval()
    wide.eval()
    assert narrow(x).dtype == np.float16
    np.testing.assert_allclose(narrow(x).data, wide(x.astype(float)).data, rtol=2e-3, atol=2e-3)


def test_the_running_variance_in_float16_is_finite():
    layer = nn.BatchNorm(1, momentum=0.9, dtype=np.float16)
    y = layer(np.array([[0], [300], [600], [900]], np.float16))
    np.testing.assert_allclose(y.data[:, 0], [-1.342, -0.447, 0.447, 1.342], atol=1e-3)
    np.testing.assert_allclose(layer.running_var.data, 0.1 + 0.9 * 150_000, rtol=1e-6)


# ---------------------------------------------------------------------------------------------------------- embedding


@pytest.mark.parametrize("wrap", [np.asarray, np.uint8, tg.tensor, list])
def test_embedding_looks_rows_up(wrap):
    layer = nn.Embedding(5, 3)
    numbers = np.array([[0, 4], [4, 2]])
    y = layer(wrap(numbers))
    np.testing.assert_array_equal(y.data, layer.weight.data[numbers])
    np.sum(y).backward()
    np.testing.assert_array_equal(layer.weight.grad, np.array([1, 0, 1, 0, 2])[:, None] * np.ones(3))
    assert layer(np.zeros((0, 2), int)).shape == (0, 2, 3)
    assert layer(3).shape == (3,)


def test_embeddings_start_standard_normal_or_as_asked():
    weight = nn.Embedding(200, 50, dtype=np.float64).weight.data
    np.testing.assert_allclose([weight.mean(), weight.std()], [0, 1], atol=0.03)
    assert not nn.Embedding(2, 3, init=lambda shape, dtype: np.zeros(shape, dtype)).weight.data.any()


# ------------------------------------------------------------------------------------------------------------- errors


def test_a_mismatch_of_any_layer_names_the_layer_and_both_shapes():
    model = nn.Sequential(nn.Dense(4, 3), nn.BatchNorm(5))
    with pytest.raises(tg.errors.ShapeError) as caught:
        model(np.ones((7, 4), np.float32))
    assert str(caught.value) == (
        "layers.1: BatchNorm(5,): x of shape (7, 3) does not fit a weight of shape (5,): it must be (..., 5)"
    )
    with pytest.raises(tg.errors.ShapeError, match=r"LayerNorm\(2, 3\): x of shape \(3,\) does not fit .* \(2, 3\)"):
        nn.LayerNorm((2, 3))(np.ones(3))
    with pytest.raises(tg.errors.ShapeError, match=r"^layers.0: Flatten: x of shape \(\) has no axis of examples"):
        nn.Sequential(nn.Flatten())(np.ones(()))


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (3,)])
def test_batch_norm_needs_a_batch_while_training(shape):
    layer = nn.BatchNorm(3)
    before = layer.state_dict()
    with pytest.raises(tg.errors.ShapeError, match=r"BatchNorm\(3\): x of shape .* has [01] rows, .* model.eval\(\)"):
        layer(np.ones(shape, np.float32))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert layer.eval()(np.ones(shape, np.float32)).shape == shape


@pytest.mark.parametrize("wrap", [np.asarray, tg.tensor])
def test_embedding_says_which_numbers_are_out_of_range(wrap):
    layer = nn.Embedding(5, 3)
    message = r"Embedding\(5, 3\): numbers must be from 0 to 4, but 2 of 3 are not, the first of them -1"
    with pytest.raises(tg.errors.ShapeError, match=message):
        layer(wrap([-1, 0, 5]))
    with pytest.raises(tg.errors.DtypeError, match=r"^layers.0: .* must be integers, not float64 \(shape \(2,"):
        nn.Sequential(layer)(wrap([0.0, 1.0]))


def test_a_compiled_embedding_checks_every_call():
    compiled = tg.compile(nn.Embedding(5, 3).eval())
    with tg.no_grad():
        compiled(np.array([0, 4]))
        with pytest.raises(tg.errors.ShapeError, match="the first of them 5"):
            compiled(np.array([0, 5]))


@pytest.mark.parametrize(
    ("make", "error", "complaint"),
    [
        (lambda: nn.Dropout(1), ValueError, "Dropout: p must be zero or above, and below 1, not 1"),
        (lambda: nn.Dropout(-0.1), ValueError, "Dropout: p must be"),
        (lambda: nn.Dropout("half"), TypeError, "Dropout: p must be a number, not 'half'"),
        (lambda: nn.BatchNorm(0), ValueError, "BatchNorm: features must be at least 1, not 0"),
        (lambda: nn.BatchNorm(2, momentum=1.5), ValueError, "BatchNorm: momentum must be"),
        (lambda: nn.BatchNorm(2, eps=-1), ValueError, "BatchNorm: eps must be"),
        (lambda: nn.LayerNorm(()), ValueError, r"LayerNorm: shape must have one axis or more, not \(\)"),
        (lambda: nn.LayerNorm((2, 0)), ValueError, "LayerNorm: shape must be at least 1, not 0"),
        (lambda: nn.LayerNorm(2.0), TypeError, r"LayerNorm: shape must be an integer, not 2\.0"),
        (lambda: nn.LayerNorm(2, eps=-1), ValueError, "LayerNorm: eps must be"),
        (lambda: nn.Embedding(0, 2), ValueError, "Embedding: count must be at least 1"),
        (lambda: nn.Embedding(2, 0), ValueError, "Embedding: features must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(make, error, complaint):
    with pytest.raises(error, match=complaint) as caught:
        make()
    assert isinstance(caught.value, tg.errors.TinygradError)


def test_a_mismatch_names_the_layer_and_both_shapes():
    model = nn.Sequential(nn.Dense(4, 3), nn.ReLU(), nn.Sequential(nn.Dense(3, 3), nn.Dense(5, 2)))
    with pytest.raises(tg.errors.ShapeError) as caught:
        model(np.ones((7, 4), np.float32))
    assert str(caught.value) == (
        "layers.2: layers.1: Dense(5, 2): dense: x of shape (7, 3) does not fit a weight of shape (5, 2): "
        "they must be (..., inputs) and (inputs, outputs)"
    )


@pytest.mark.parametrize("wrap", [np.asarray, tg.tensor, lambda x: tg.tensor(x, requires_grad=True)])
@pytest.mark.parametrize("shape", [(7, 3), (), (4, 7)])
def test_dense_refuses_input_of_another_width(wrap, shape):
    with pytest.raises(ValueError, match=r"^Dense\(4, 2\): .*shape \(.*\) does not fit a weight of shape \(4, 2\)"):
        nn.Dense(4, 2)(wrap(np.ones(shape)))


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ((0, 2), ValueError, "Dense: in_features must be at least 1, not 0"),
        ((2, -1), ValueError, "Dense: out_features must be at least 1, not -1"),
        ((2.0, 1), TypeError, "Dense: in_features must be an integer, not 2.0"),
        ((2, (1,)), TypeError, r"Dense: out_features must be an integer, not \(1,\)"),
    ],
)
def test_dense_refuses_what_is_no_number_of_features(arguments, error, complaint):
    with pytest.raises(error, match=complaint):
        nn.Dense(*arguments)


def test_integer_parameters_are_refused():
    with pytest.raises(tg.errors.DtypeError, match=r"int64 .* cannot require a gradient"):
        nn.Dense(2, 2, dtype=np.int64)


def test_sequential_takes_modules_only():
    with pytest.raises(tg.errors.DtypeError, match="Sequential: layer 1 must be a Module, not <function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(tg.errors.DtypeError, match=r"layer 0 must be a Module, not \[ReLU\(\)\]"):
        nn.Sequential([nn.ReLU()])
