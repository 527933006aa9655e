"""Learning rates over time: their formulae, PyTorch's, and where they go on from after loading."""

import math

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import optim


def sgd(lr=0.5):
    return optim.SGD([tg.tensor([1.0], requires_grad=True)], lr)


def rates(make, steps, optimiser=None):
    """The learning rate before each of the steps."""
    optimiser = optimiser or sgd()
    schedule = make(optimiser)
    found = []
    for _ in range(steps):
        found.append(optimiser.lr)
        schedule.step()
    return found


COUNTING = {
    "constant": optim.Constant,
    "step": lambda o: optim.StepDecay(o, every=3, factor=0.5),
    "cosine": lambda o: optim.CosineDecay(o, steps=10, lowest=0.1),
    "warm-up": lambda o: optim.WarmUp(optim.Constant(o), steps=4, start=0.2),
    "warm-up, then cosine": lambda o: optim.WarmUp(optim.CosineDecay(o, steps=10), steps=4),
    "warm-up of a warm-up": lambda o: optim.WarmUp(optim.WarmUp(optim.Constant(o), steps=2, start=0.5), steps=3),
}
counting = pytest.mark.parametrize("make", COUNTING.values(), ids=COUNTING)


def test_a_constant_rate_stays():
    assert rates(COUNTING["constant"], 5) == [0.5] * 5


def test_a_step_decay_falls_every_so_many_steps():
    assert rates(COUNTING["step"], 7) == [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_a_cosine_decay_ends_at_the_lowest_and_stays_there():
    expected = [0.1 + 0.4 * (1 + math.cos(math.pi * min(i, 10) / 10)) / 2 for i in range(14)]
    np.testing.assert_allclose(rates(COUNTING["cosine"], 14), expected, rtol=1e-15)


def test_a_warm_up_grows_in_equal_steps_and_then_follows_the_other_schedule_from_its_beginning():
    np.testing.assert_allclose(rates(COUNTING["warm-up"], 7), [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5], rtol=1e-15)
    after = rates(COUNTING["warm-up, then cosine"], 14)[4:]
    np.testing.assert_allclose(after, rates(lambda o: optim.CosineDecay(o, steps=10), 10), rtol=1e-15)


def test_warm_ups_can_be_nested():
    found = rates(COUNTING["warm-up of a warm-up"], 7)
    np.testing.assert_allclose(found, [0.025, 0.1, 0.175, 0.25, 0.375, 0.5, 0.5], rtol=1e-14)


@counting
def test_every_group_starts_from_its_own_rate(make):
    leaves = [tg.tensor([1.0], requires_grad=True) for _ in range(2)]
    optimiser = optim.SGD([{"params": [leaves[0]], "lr": 0.5}, {"params": [leaves[1]], "lr": 0.7}])
    schedule = make(optimiser)
    alone = [rates(make, 6, sgd(lr)) for lr in (0.5, 0.7)]
    for i in range(6):
        assert [group["lr"] for group in optimiser.param_groups] == [alone[0][i], alone[1][i]]
        schedule.step()


PLATEAU = [5.0, 4.0, 4.0, 3.9999, 4.1, np.nan, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0, -1.0, -1.0, -1.0, -1.0, -1.0]


def measured(make, numbers, optimiser=None):
    optimiser = optimiser or sgd()
    schedule = make(optimiser)
    found = []
    for number in numbers:
        schedule.step(number)
        found.append(optimiser.lr)
    return found


def test_a_plateau_lowers_the_rate_after_the_patience_has_run_out_and_then_waits_again():
    found = measured(lambda o: optim.ReduceOnPlateau(o, factor=0.5, patience=2), PLATEAU)
    assert found == [0.5] * 4 + [0.25] * 5 + [0.125] * 3 + [0.0625] * 5 + [0.03125] * 2


def test_measurements_may_be_better_for_being_larger():
    numbers = [-x for x in PLATEAU]
    found = measured(lambda o: optim.ReduceOnPlateau(o, factor=0.5, patience=2, maximise=True), numbers)
    assert found == measured(lambda o: optim.ReduceOnPlateau(o, factor=0.5, patience=2), PLATEAU)


def test_the_threshold_is_relative_to_the_best():
    assert measured(lambda o: optim.ReduceOnPlateau(o, patience=0, threshold=0.1), [10, 9.5, 8.9])[1:] == [0.05, 0.05]
    assert measured(lambda o: optim.ReduceOnPlateau(o, patience=0, threshold=0), [10, 9.99]) == [0.5, 0.5]


def test_the_rate_does_not_fall_below_the_lowest_nor_rise_to_it():
    assert measured(lambda o: optim.ReduceOnPlateau(o, patience=0, lowest=0.2), [1, 1, 1]) == [0.5, 0.2, 0.2]
    assert measured(lambda o: optim.ReduceOnPlateau(o, patience=0, lowest=0.9), [1, 1]) == [0.5, 0.5]


@pytest.mark.parametrize("wrap", [tg.tensor, np.array, lambda x: np.array([x]), np.float32])
def test_a_measurement_may_be_a_tensor_or_an_array_of_one(wrap):
    make = lambda o: optim.ReduceOnPlateau(o, patience=1)  # noqa: E731
    numbers = [2.0, 2.0, 2.0, 1.0]
    assert measured(make, map(wrap, numbers)) == measured(make, numbers)


# ------------------------------------------------------------------------------------------------------------ PyTorch


def of_pytorch(make, steps):
    torch = pytest.importorskip("torch")
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule = make(torch.optim.lr_scheduler, optimiser)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("step", lambda s, o: s.StepLR(o, 3, 0.5)),
        ("cosine", lambda s, o: s.CosineAnnealingLR(o, 10, 0.1)),
        ("warm-up", lambda s, o: s.LinearLR(o, 0.2, total_iters=4)),
    ],
)
def test_schedules_are_pytorchs(ours, theirs):
    np.testing.assert_allclose(rates(COUNTING[ours], 10), of_pytorch(theirs, 10), rtol=1e-13)


def test_a_plateau_is_pytorchs():
    torch = pytest.importorskip("torch")
    numbers = [x for x in PLATEAU if x > 0]  # of negative ones PyTorch takes a worse one for better
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=2)
    expected = []
    for number in numbers:
        schedule.step(number)
        expected.append(optimiser.param_groups[0]["lr"])
    assert measured(lambda o: optim.ReduceOnPlateau(o, factor=0.5, patience=2), numbers) == expected


# ------------------------------------------------------------------------------------------------- saving and loading


@counting
def test_a_loaded_schedule_goes_on(make):
    whole = rates(make, 12)
    optimiser = sgd()
    schedule = make(optimiser)
    for _ in range(5):
        schedule.step()
    resumed = sgd(0.9)
    other = make(resumed)
    resumed.load_state_dict(optimiser.state_dict())
    other.load_state_dict(schedule.state_dict())
    found = []
    for _ in range(7):
        found.append(resumed.lr)
        other.step()
    assert found == whole[5:]


def test_a_loaded_plateau_goes_on():
    make = lambda o: optim.ReduceOnPlateau(o, factor=0.5, patience=2)  # noqa: E731
    optimiser, resumed = sgd(), sgd(0.9)
    schedule, other = make(optimiser), make(resumed)
    for number in PLATEAU[:4]:
        schedule.step(number)
    resumed.load_state_dict(optimiser.state_dict())
    other.load_state_dict(schedule.state_dict())
    for number in PLATEAU[4:]:
        schedule.step(number)
        other.step(number)
        assert resumed.lr == optimiser.lr
    assert resumed.lr == 0.03125


def test_a_state_is_copies_of_arrays():
    schedule = COUNTING["cosine"](sgd())
    state = schedule.state_dict()
    assert {name: array.tolist() for name, array in state.items()} == {"count": 0, "rates": [0.5]}
    schedule.step()
    assert state["count"] == 0


def test_a_state_of_another_kind_is_refused():
    plateau, cosine = optim.ReduceOnPlateau(sgd()), COUNTING["cosine"](sgd())
    with pytest.raises(tg.errors.ShapeError, match=r"ReduceOnPlateau: best is missing; .*; count is"):
        plateau.load_state_dict(cosine.state_dict())


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "error", "complaint"),
    [
        (lambda _o: optim.Constant([]), TypeError, r"Constant: needs an optimiser, not \[\]"),
        (lambda o: optim.StepDecay(o, 0), ValueError, "StepDecay: every must be at least 1, not 0"),
        (lambda o: optim.StepDecay(o, 1.5), TypeError, r"StepDecay: every must be an integer, not 1\.5"),
        (lambda o: optim.StepDecay(o, 2, -1), ValueError, "StepDecay: factor must be zero or above"),
        (lambda o: optim.CosineDecay(o, 0), ValueError, "CosineDecay: steps must be at least 1"),
        (lambda o: optim.CosineDecay(o, 3, np.nan), ValueError, "CosineDecay: lowest must be"),
        (lambda o: optim.WarmUp(o, 3), TypeError, r"WarmUp: needs a schedule that counts steps, like .* not SGD\("),
        (lambda o: optim.WarmUp(optim.ReduceOnPlateau(o), 3), TypeError, "WarmUp: needs a schedule that counts"),
        (lambda o: optim.WarmUp(optim.Constant(o), 0), ValueError, "WarmUp: steps must be at least 1"),
        (lambda o: optim.WarmUp(optim.Constant(o), 1, -1), ValueError, "WarmUp: start must be"),
        (lambda o: optim.ReduceOnPlateau(o, 1.0), ValueError, "ReduceOnPlateau: factor must be .* below 1, not 1"),
        (lambda o: optim.ReduceOnPlateau(o, patience=-1), ValueError, "patience must be at least 0, not -1"),
        (lambda o: optim.ReduceOnPlateau(o, threshold=1), ValueError, "threshold must be"),
        (lambda o: optim.ReduceOnPlateau(o).step([1, 2]), ValueError, r"is one number, not of shape \(2,"),
        (lambda o: optim.ReduceOnPlateau(o).step(None), TypeError, "a measurement must be a real number, not None"),
        (lambda o: optim.ReduceOnPlateau(o).step("0.1"), TypeError, "must be a real number, not '0.1'"),
    ],
)
def test_what_is_no_schedule_is_refused(make, error, complaint):
    with pytest.raises(error, match=complaint) as caught:
        make(sgd())
    assert isinstance(caught.value, tg.errors.TinygradError)


def of_rate(rate):
    """A schedule of one's own."""
    return type("Mine", (optim.Schedule,), {"rate": staticmethod(rate)})


@pytest.mark.parametrize("call", [lambda f: f, tg.compile])
@pytest.mark.parametrize(
    ("rate", "complaint"),
    [
        (lambda first, count: first * (1 - count), r"Mine: lr must be zero or above, and finite, not -0\.5"),
        (lambda first, count: np.where(count > 1, np.nan, first), "Mine: lr must be .* finite, not nan"),
        (lambda first, count: np.where(count > 1, np.inf, first), "Mine: lr must be .* finite, not inf"),
    ],
)
def test_a_rate_out_of_its_range_is_refused_and_nothing_changes(rate, complaint, call):
    optimiser = sgd()
    schedule = of_rate(rate)(optimiser)
    step = call(lambda: schedule.step())
    step()
    before = optimiser.lr
    for _ in range(2):
        with pytest.raises(tg.errors.ShapeError, match=complaint):
            step()
        assert (optimiser.lr, schedule.state_dict()["count"]) == (before, 1)


@pytest.mark.parametrize("rate", [0.1, None, "fast", [0.1, 0.2], []])
def test_a_rate_that_is_not_one_a_group_is_refused(rate):
    optimiser = sgd()
    with pytest.raises(tg.errors.ShapeError, match=r"Mine: rate must return .* of shape \(1,\) as `first`"):
        of_rate(lambda first, count: rate)(optimiser).step()
    assert optimiser.lr == 0.5


@pytest.mark.parametrize("call", [lambda f: f, tg.compile])
def test_rates_may_be_a_list(call):
    optimiser = sgd()
    schedule = of_rate(lambda first, count: [first[0] / 2])(optimiser)
    call(lambda: schedule.step())()
    assert optimiser.lr == 0.25
