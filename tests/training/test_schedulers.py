import json
import math

import pytest
import torch

from espalier.runs.checkpoint import pack, unpack
from espalier.settings.registry import entries
from espalier.settings.sections import Training
from espalier.training.warmup import Schedule

EPOCHS, STEPS, LR = 8, 5, 0.4
TOTAL = EPOCHS * STEPS


def schedule(scheduler, warmup=0.0, **settings):
    train = Training.model_validate(
        {
            "epochs": EPOCHS,
            "optimizer": {"name": "sgd", "lr": LR},
            "scheduler": scheduler,
            "warmup_epochs": warmup,
            **settings,
        }
    )
    optimizer = train.optimizer.build([torch.nn.Parameter(torch.zeros(1))])
    return Schedule(optimizer, train, STEPS), optimizer


def run(made, first=0, last=TOTAL, metric=lambda epoch: 50.0):
    """The rate of each step."""
    made, optimizer = made
    rates = []
    for step in range(first, last):
        rates.append(made.learning_rate)
        optimizer.step()
        made.step()
        if (step + 1) % STEPS == 0:
            made.epoch_ended(metric((step + 1) // STEPS))
    return rates


def cosine(step, length, low=0.0):
    return low + (LR - low) * (1 + math.cos(math.pi * step / length)) / 2


def restarts(step, first):
    while step >= first:
        step, first = step - first, 2 * first
    return cosine(step, first)


def cycle(step, length):
    """Up over 30 % of the steps from a 25th of the rate, down to a 10,000th of that; half cosines both."""
    low, peak = LR / 25, 0.3 * length - 1
    if step <= peak:
        return LR + (low - LR) * (1 + math.cos(math.pi * step / peak)) / 2
    return low / 1e4 + (LR - low / 1e4) * (1 + math.cos(math.pi * (step - peak) / (length - 1 - peak))) / 2


# name → (settings, rate of a step, given also the steps of warm-up). Milestones count from the start of training.
CURVES = {
    "constant": ({}, lambda step, warm: LR),
    "step": ({"epochs": 3, "gamma": 0.5}, lambda step, warm: LR * 0.5 ** (step // (3 * STEPS))),
    "multi_step": (
        {"milestones": [1, 6], "gamma": 0.2},
        lambda step, warm: LR * 0.2 ** ((step >= STEPS) + (step >= 6 * STEPS)),
    ),
    "plateau": ({"patience": 100}, lambda step, warm: LR),
    "cosine": ({"min_lr": 0.01}, lambda step, warm: cosine(step - warm, TOTAL - warm, 0.01)),
    "cosine_restarts": ({"epochs": 1.0}, lambda step, warm: restarts(step - warm, STEPS)),
    "one_cycle": ({}, lambda step, warm: cycle(step - warm, TOTAL - warm)),
}


@pytest.mark.parametrize("warmup", [0.0, 0.4, 1.0, 2.5])
@pytest.mark.parametrize("name", CURVES)
def test_rates_follow_the_closed_form(name, warmup):
    settings, curve = CURVES[name]
    warm = round(warmup * STEPS)
    expected = [curve(warm, warm) * (step + 1) / (warm + 1) for step in range(warm)]
    expected += [curve(step, warm) for step in range(warm, TOTAL)]
    assert run(schedule({"name": name, **settings}, warmup)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("warmup", [0.0, 1.5])
@pytest.mark.parametrize("name", entries("scheduler"))
def test_state_survives_a_round_trip_at_any_step(name, warmup):
    settings = {"name": name, **CURVES.get(name, ({}, None))[0]} | ({"patience": 1} if name == "plateau" else {})
    whole = run(schedule(settings, warmup))
    for cut in (1, 6, 7, 8, 20, 39):
        before = schedule(settings, warmup)
        rates = run(before, last=cut)
        tensors = {}
        saved = json.dumps(pack({"schedule": before[0].state_dict(), "optimizer": before[1].state_dict()}, tensors))
        state = unpack(json.loads(saved), tensors)
        after = schedule(settings, warmup)
        after[1].load_state_dict(state["optimizer"])
        after[0].load_state_dict(state["schedule"])
        assert rates + run(after, first=cut) == whole


@pytest.mark.parametrize("warmup", [0.0, 1.5])
@pytest.mark.parametrize("name", entries("scheduler"))
def test_a_schedule_of_any_length_has_the_same_rates_in_a_longer_training(name, warmup):
    settings = {"name": name, **({"patience": 1} if name == "plateau" else CURVES[name][0])}
    short, long = run(schedule(settings, warmup)), run(schedule(settings, warmup, epochs=2 * EPOCHS))
    assert (short == long) == entries("scheduler")[name].facts.get("any_length", False)


@pytest.mark.parametrize(
    ("select", "metrics"),
    [("top1", [50, 60, 60.4, 60, 70, 70, 70, 70]), ("loss", [5, 4, 3.6, 4, 2, 2, 2, 2])],
)
def test_plateau_cuts_on_the_selection_metric(select, metrics):
    """Improvements must exceed 0.5: epochs 3 and 4 fail, so the rate of epoch 5 is cut; again after epochs 6 and 7."""
    made = schedule({"name": "plateau", "patience": 1, "factor": 0.5, "threshold": 0.5}, select=select)
    rates = run(made, metric=lambda epoch: metrics[epoch - 1])
    assert rates[::STEPS] == pytest.approx([LR] * 4 + [LR / 2] * 3 + [LR / 4])


def test_plateau_does_not_watch_the_warm_up():
    made = schedule({"name": "plateau", "patience": 1, "factor": 0.5}, warmup=3.0)
    assert run(made, metric=lambda epoch: 0.0)[3 * STEPS :: STEPS] == [LR] * 3 + [LR / 2] * 2


def test_a_warm_up_as_long_as_the_training_is_a_ramp():
    rates = run(schedule("cosine", warmup=100.0))
    assert rates == pytest.approx([LR * (step + 1) / (TOTAL + 1) for step in range(TOTAL)])


@pytest.mark.parametrize("rise", [0.0, 1 / TOTAL, 0.5, 0.99])
def test_one_cycle_rises_for_any_share(rise):
    rates = run(schedule({"name": "one_cycle", "rise": rise, "anneal": "linear"}))
    assert len(rates) == TOTAL
    assert all(0 < rate <= LR * (1 + 1e-9) for rate in rates)


def test_one_cycle_moves_momentum_against_the_rate():
    made, optimizer = schedule({"name": "one_cycle", "cycle_momentum": True})
    seen = []
    for _ in range(TOTAL):
        seen.append((made.learning_rate, optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        made.step()
    assert max(seen)[1] == pytest.approx(0.85)
    assert min(seen)[1] == pytest.approx(0.95)
