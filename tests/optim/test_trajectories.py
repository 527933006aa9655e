"""The trajectory of every optimiser is PyTorch's, to the precision of float64."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import optim

PRECISION = {"rtol": 1e-13, "atol": 1e-14}
START = [-1.5, 0.25, 2.0]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.01}),
    "sgd with momentum": ("SGD", {"lr": 0.01, "momentum": 0.8, "weight_decay": 0.1}),
    "sgd with nesterov": ("SGD", {"lr": 0.01, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop with momentum": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1}),
    "rmsprop, centered": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 0.1, "centered": True}),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad with everything": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ),
    "adam": ("Adam", {"lr": 0.05}),
    "adam with decay": ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "adamw": ("AdamW", {"lr": 0.05}),
    "adamw with everything": ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.5}),
}

# What torch 2.13 (CPU, float64) has after 3 and after 60 steps, printed by `trajectory` below.
STORED: dict[str, list[list[float]]] = {
    "sgd": [
        [-1.4685312130384707, 0.1946417924698415, 1.8196858511295684],
        [-0.6809249970273932, -0.6243295050535242, 1.5188688533448793],
    ],
    "sgd with momentum": [
        [-1.4372165483863786, 0.15296995208125488, 1.6716857778348369],
        [-0.6307844985627563, -0.6315820645342523, 1.5072607878614017],
    ],
    "sgd with nesterov": [
        [-1.411103082949564, 0.10949381305097144, 1.6009853749060563],
        [-0.6307792295465766, -0.6307430719928001, 1.507828208393258],
    ],
    "rmsprop": [
        [-1.247892516148756, -0.0007020871642796078, 1.789938119305502],
        [-0.639376911414423, -0.6344979969400872, 1.518928503988958],
    ],
    "rmsprop with momentum": [
        [-1.3874559840120477, 0.13680025228494655, 1.8933260006167578],
        [-0.630706594056966, -0.6307971818409879, 1.5078356023820843],
    ],
    "rmsprop, centered": [
        [-1.433380560504295, 0.17669379007034716, 1.9237250969501],
        [-0.6413480904105934, -0.6314615350099242, 1.5191851628983664],
    ],
    "adagrad": [
        [-1.2482776483564575, -0.0003154556595944963, 1.790402240406266],
        [-0.6401512240233508, -0.6308280725626174, 1.5191683048245863],
    ],
    "adagrad with everything": [
        [-1.284469515302734, 0.021544663355366013, 1.7976299978365597],
        [-0.7271632225703512, -0.50732120446876, 1.528494167170255],
    ],
    "adam": [
        [-1.3498583149998387, 0.09987243321865968, 1.8507375167893543],
        [-0.611304392388748, -0.6337924058315665, 1.5015329521461334],
    ],
    "adam with decay": [
        [-1.3494676730297497, 0.09942211139123602, 1.8510459624354436],
        [-0.6293611873774511, -0.6288216132758627, 1.5071389173057388],
    ],
    "adamw": [
        [-1.3476911675405538, 0.0995736415875283, 1.847836045542051],
        [-0.6107500618029551, -0.6334145784627646, 1.4997730598026642],
    ],
    "adamw with everything": [
        [-1.2436723279654458, 0.08487014479239363, 1.7105110307696079],
        [-0.6236603477311534, -0.6139924681563773, 1.4339365969302689],
    ],
}


def loss(w: Any, numbers: Any) -> Any:
    """With several minima, steep and flat places; the same calls in NumPy and in PyTorch."""
    return numbers.sum(w**4 / 4 - w**2 + numbers.sin(3 * w))


def trajectory(optimiser: Any, w: Any, numbers: Any, array: Callable[[], np.ndarray]) -> Iterator[np.ndarray]:
    """The parameter after each of 60 steps."""
    for _ in range(60):
        optimiser.zero_grad()
        loss(w, numbers).backward()
        optimiser.step()
        yield np.array(array())


def ours(name: str) -> Iterator[np.ndarray]:
    kind, options = CASES[name]
    w = tg.tensor(START, requires_grad=True)
    return trajectory(getattr(optim, kind)([w], **options), w, np, lambda: w.data)


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_was_stored_of_pytorch(name: str) -> None:
    steps = list(ours(name))
    np.testing.assert_allclose([steps[2], steps[59]], STORED[name], **PRECISION)


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_pytorch_does_now(name: str) -> None:
    torch = pytest.importorskip("torch")
    kind, options = CASES[name]
    w = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    theirs = trajectory(getattr(torch.optim, kind)([w], **options), w, torch, lambda: w.detach().numpy())
    np.testing.assert_allclose(list(ours(name)), list(theirs), **PRECISION)


def test_groups_have_options_of_their_own() -> None:
    torch = pytest.importorskip("torch")
    first, second = (torch.tensor(START, dtype=torch.float64, requires_grad=True) for _ in range(2))
    mine = [tg.tensor(START, requires_grad=True) for _ in range(2)]
    options: list[dict[str, Any]] = [{"lr": 0.02, "weight_decay": 0.3}, {"betas": (0.5, 0.5)}]
    theirs = torch.optim.AdamW([{"params": [w], **o} for w, o in zip((first, second), options, strict=True)], lr=0.1)
    ours = optim.AdamW([{"params": [w], **o} for w, o in zip(mine, options, strict=True)], lr=0.1)
    for _ in range(20):
        ours.zero_grad()
        theirs.zero_grad()
        (loss(mine[0], np) + loss(mine[1], np)).backward()
        (loss(first, torch) + loss(second, torch)).backward()
        ours.step()
        theirs.step()
    np.testing.assert_allclose(mine[0].data, first.detach().numpy(), **PRECISION)
    np.testing.assert_allclose(mine[1].data, second.detach().numpy(), **PRECISION)
