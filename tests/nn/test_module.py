"""A Module is its attributes: what is found in them, under which names, and what can be saved and restored."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import nn
from tinygrad_np.saving import load, save


def leaf(*shape, dtype=np.float32):
    return tg.tensor(np.ones(shape, dtype), requires_grad=True)


class Tree(nn.Module):
    """Parameters and modules in every place where they are looked for."""

    def __init__(self):
        self.scale = leaf(2)
        self.parts = [nn.Dense(2, 3), (leaf(4), nn.ReLU()), {"gate": leaf(5), 7: nn.Dense(3, 1, bias=False)}]
        self.name = "tree"
        self.offset = np.ones(3)  # an array, not a Tensor, is an option like the name
        self.shift = tg.tensor([0.5])

    def forward(self, x):
        return x * self.scale + self.shift


NAMES = ["scale", "parts.0.weight", "parts.0.bias", "parts.1.0", "parts.2.gate", "parts.2.7.weight"]


def test_parameters_are_found_in_attributes_lists_tuples_and_dicts():
    model = Tree()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [p.shape for p in model.parameters()] == [(2,), (2, 3), (3,), (4,), (5,), (3, 1)]
    assert model.parameters()[0] is model.scale
    assert model.parameters()[-1] is model.parts[2][7].weight


def test_what_is_added_later_is_found():
    model = Tree()
    model.parts.append(nn.Dense(1, 1))
    model.extra = leaf(1)
    names = [name for name, _ in model.named_parameters()]
    assert names == [*NAMES, "parts.3.weight", "parts.3.bias", "extra"]


def test_modules_are_found_with_the_module_itself_first():
    model = Tree()
    assert model.named_modules() == [
        ("", model),
        ("parts.0", model.parts[0]),
        ("parts.1.1", model.parts[1][1]),
        ("parts.2.7", model.parts[2][7]),
    ]


def test_a_shared_part_counts_once():
    class Tied(nn.Module):
        def __init__(self):
            self.first = self.second = nn.Dense(2, 2)
            self.third = nn.Dense(2, 2)
            self.third.weight = self.first.weight

    model = Tied()
    names = [name for name, _ in model.named_parameters()]
    assert names == ["first.weight", "first.bias", "third.bias"]
    assert list(model.state_dict()) == names
    assert "second: Dense, shared" in repr(model)


def test_a_part_that_knows_its_owner_is_no_endless_loop():
    model = Tree()
    model.parts[0].owner = model
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert model.train(False).parts[0].training is False
    assert "owner: Tree, shared" in repr(model)


def test_results_kept_as_attributes_are_not_part_of_the_state():
    model = Tree()
    model.last = model(np.ones(2))
    assert model.last.requires_grad
    assert "last" not in model.state_dict()
    assert [name for name, _ in model.named_parameters()] == NAMES


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: m])
def test_neither_are_results_of_calls_that_were_not_recorded(again):
    model = Tree()
    names = list(model.state_dict())
    with tg.no_grad():
        model.last = model(np.ones(2))
        model.kept = [model.last.detach(), {"row": model.scale[0], "copy": model.scale.copy()}]
    assert model.last.is_leaf
    assert list(again(model).state_dict()) == names
    assert "last" not in repr(model)


@pytest.mark.parametrize(
    "made",
    [
        lambda: tg.tensor(3.0),
        lambda: tg.tensor([1, 2]),
        lambda: tg.tensor(np.sqrt(tg.tensor(2.0))),
        lambda: leaf(2).detach(),
        lambda: tg.tensor([1.0]).detach(),
        lambda: copy.copy(tg.tensor([1.0])),
    ],
)
@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), lambda m: m])
def test_what_the_user_made_is_part_of_the_state(made, again):
    model = Tree()
    with tg.no_grad():
        model.mine = made()
    assert "mine" in again(model).state_dict()
    assert "mine" in repr(model)


def test_what_is_updated_through_its_own_handle_stays_part_of_the_state():
    model = Tree()
    model.count = tg.tensor(0.0)
    model.count += 1
    assert model.state_dict()["count"] == 1
    model.load_state_dict({**model.state_dict(), "count": np.array(3.0)})
    assert model.count == 3


def test_a_subclass_needs_no_call_of_its_parents_init():
    class Plain(nn.Module):
        pass

    assert Plain().parameters() == []
    assert Plain().training is True
    with pytest.raises(AttributeError, match="forward"):
        Plain()(1)


def test_calling_a_module_passes_all_arguments_to_forward():
    class Echo(nn.Module):
        def forward(self, *args, **kwargs):
            return args, kwargs

    assert Echo()(1, 2, key=3) == ((1, 2), {"key": 3})


def test_train_and_eval_reach_every_part():
    model = Tree()
    assert all(m.training for _, m in model.named_modules())
    assert model.eval() is model
    assert not any(m.training for _, m in model.named_modules())
    assert model.train() is model
    assert all(m.training for _, m in model.named_modules())
    assert nn.Module.training is True


def test_parameters_get_gradients_and_the_others_do_not():
    model = Tree()
    np.sum(model(np.array([3.0, 4.0]))).backward()
    np.testing.assert_array_equal(model.scale.grad, [3, 4])
    assert model.shift.grad is None


# ------------------------------------------------------------------------------------------------- saving and loading


def test_the_state_has_every_tensor_and_is_a_copy():
    model = Tree()
    state = model.state_dict()
    assert list(state) == [*NAMES, "shift"]
    assert all(type(array) is np.ndarray for array in state.values())
    model.scale.data[...] = 7
    assert state["scale"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({1: leaf(1), "1": leaf(2)}, r"\('parts', 1\) and at \('parts', '1'\) would both be called 'parts\.1'"),
        ({"a.b": leaf(1), "a": {"b": leaf(2)}}, r"\('parts', 'a\.b'\) and at \('parts', 'a', 'b'\) would both"),
    ],
)
def test_two_tensors_of_one_name_are_an_error_and_none_is_lost(parts, complaint):
    model = Tree()
    model.parts = parts
    with pytest.raises(tg.errors.ShapeError, match=complaint):
        model.state_dict()
    with pytest.raises(tg.errors.ShapeError, match=complaint):
        model.load_state_dict({})
    assert len(model.parameters()) == 3


def test_a_state_comes_back_in_place(tmp_path):
    tg.manual_seed(1)
    source, target = Tree(), Tree()
    source.shift.data[...] = 9
    save(tmp_path / "state.npz", source.state_dict())
    arrays = [p.data for p in target.parameters()]
    target.load_state_dict(load(tmp_path / "state.npz"))
    for name, array in source.state_dict().items():
        np.testing.assert_array_equal(target.state_dict()[name], array, strict=True)
    assert all(p.data is array for p, array in zip(target.parameters(), arrays, strict=True))
    source.scale.data[...] = 5  # nothing is shared
    assert target.scale.data.tolist() == [1, 1]


def test_tensors_are_taken_too():
    model = nn.Dense(2, 1)
    model.load_state_dict({"weight": leaf(2, 1), "bias": tg.tensor(np.zeros(1, np.float32))})
    np.testing.assert_array_equal(model.weight.data, np.ones((2, 1)))


def test_backward_through_a_graph_from_before_the_load_is_refused():
    model = nn.Sequential(nn.Dense(2, 2), nn.Dense(2, 1))
    loss = np.sum(model(np.ones((1, 2), np.float32)))
    model.load_state_dict(model.state_dict())
    with pytest.raises(tg.errors.StaleGraphError):
        loss.backward()


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        (lambda s: s.pop("parts.0.bias"), ValueError, "load_state_dict of Tree: parts.0.bias is missing$"),
        (lambda s: s.update(stranger=np.ones(1)), ValueError, "stranger is not in the model$"),
        (
            lambda s: s.update({"parts.0.weight": np.ones((3, 2), np.float32)}),
            ValueError,
            r"parts.0.weight is \(2, 3\) in the model and \(3, 2\) here$",
        ),
        (
            lambda s: s.update(scale=np.ones(2)),
            TypeError,
            r"scale is float32 in the model and float64 here; convert with .astype$",
        ),
        (
            lambda s: (s.pop("scale"), s.update(other=np.ones(1), shift=np.ones(2))),
            ValueError,
            r"scale is missing; other is not in the model; shift is \(1,\) in the model and \(2,\) here",
        ),
    ],
)
def test_what_does_not_fit_is_listed_and_nothing_is_loaded(change, error, complaint):
    model = Tree()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(error, match=complaint) as caught:
        model.load_state_dict(state)
    assert isinstance(caught.value, tg.errors.TinygradError)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_are_independent(again):
    model = nn.Sequential(nn.Dense(2, 3), nn.ReLU())
    other = again(model)
    assert [name for name, _ in other.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert all(p.requires_grad for p in other.parameters())
    other.layers[0].weight.data[...] = 0
    assert np.all(model.layers[0].weight.data != 0)


# --------------------------------------------------------------------------------------------------------------- repr


def test_a_model_prints_its_parts_with_shapes_and_counts():
    assert repr(Tree()) == (
        "Tree(scale (2,), parts.1.0 (4,), parts.2.gate (5,), shift (1,) float64 fixed\n"
        "  parts.0: Dense(weight (2, 3), bias (3,)): 9 parameters\n"
        "  parts.1.1: ReLU()\n"
        "  parts.2.7: Dense(weight (3, 1)): 3 parameters\n"
        "): 23 parameters"
    )


def test_nested_models_are_indented():
    assert repr(nn.Sequential(nn.Sequential(nn.Dense(1000, 2, bias=False, dtype=np.float64)), nn.ReLU())) == (
        "Sequential(\n"
        "  layers.0: Sequential(\n"
        "    layers.0: Dense(weight (1000, 2) float64): 2,000 parameters\n"
        "  ): 2,000 parameters\n"
        "  layers.1: ReLU()\n"
        "): 2,000 parameters"
    )


def test_one_parameter_is_singular():
    assert repr(nn.Dense(1, 1, bias=False)) == "Dense(weight (1, 1)): 1 parameter"
