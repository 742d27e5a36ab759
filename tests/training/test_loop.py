import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from espalier.data.prepared import Dataset, Prepared, write
from espalier.data.resident import Resident
from espalier.errors import Diverged
from espalier.seeding import key
from espalier.settings.sections import Training
from espalier.stages import STAGES
from espalier.training.objective import Objective, freeze_statistics, hits
from support.digits_runs import same, timeless, train

SMALL = ["model.name=mlp", "model.hidden=[16]", "train.batch_size=32"]
EVERYTHING = [
    "model.name=resnet",
    "model.blocks=[1,1]",
    "model.channels=[4,8]",
    "model.dropout=0.2",
    "augment=[pad_crop, mixup]",
    "train.epochs=3",
    "train.batch_size=24",
    "train.lookahead.k=3",
    "train.warmup_epochs=0.5",
    "train.label_smoothing=0.1",
    "train.clip_norm=1.0",
]
VARIANTS = {
    "adamw one_cycle": ["train.optimizer=adamw", "train.scheduler=one_cycle"],
    "sgd plateau": ["train.scheduler={name: plateau, patience: 0, threshold: 30.0}"],
    "rmsprop multi_step": ["train.optimizer=rmsprop", "train.scheduler={name: multi_step, milestones: [1, 2]}"],
}


def images(count: int) -> Dataset:
    """Three classes of 8×8 noise around three brightnesses; 91 training images leave a last batch of any size."""
    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % 3
    pixels = torch.randint(0, 90, (count, 3, 8, 8), generator=generator) + 70 * labels[:, None, None, None]
    order = torch.randperm(count, generator=generator)
    parts = {"train": order[:-40], "validation": order[-40:-20], "test": order[-20:]}
    return Dataset(pixels.to(torch.uint8), labels, parts, ("dark", "grey", "light"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Resident:
    path = tmp_path_factory.mktemp("data") / "noise.safetensors"
    write(path, images(131), {})
    return Resident(Prepared.read(path))


@pytest.mark.parametrize("variant", VARIANTS)
def test_resuming_at_any_look_gives_the_same_bits(variant, data, tmp_path):
    words = EVERYTHING + VARIANTS[variant]
    whole = train(tmp_path / "whole", data, words)
    assert len(whole.history) == 3
    # 4 steps and an epoch's end are five looks an epoch; look 4 is the last step, before the validation.
    for stop in (1, 4, 5, 7, 13):
        folder = tmp_path / str(stop)
        assert train(folder, data, words, stop) is None
        resumed = train(folder, data, words)
        assert resumed.resumed == 1
        assert same(whole.best, resumed.best)
        assert same(whole.model.state_dict(), resumed.model.state_dict())
        assert timeless(whole.history) == timeless(resumed.history)


def test_a_run_stopped_at_every_look_still_ends_the_same(data, tmp_path):
    words = EVERYTHING + VARIANTS["sgd plateau"]
    whole = train(tmp_path / "whole", data, words)
    for _ in range(15):
        assert train(tmp_path / "often", data, words, stop=1) is None
    often = train(tmp_path / "often", data, words)
    assert often.resumed == 15
    assert same(whole.best, often.best)
    assert timeless(whole.history) == timeless(often.history)


@pytest.mark.parametrize("fault", ["starts the epoch anew", "skips the rest of it"])
def test_a_wrong_order_after_a_resume_would_be_caught(fault, data, tmp_path, monkeypatch):
    words = EVERYTHING + VARIANTS["adamw one_cycle"]
    whole = train(tmp_path / "whole", data, words)
    assert train(tmp_path / "cut", data, words, stop=2) is None
    right = Resident.train_batches

    def wrong(self, policy, *, first_step=0, **settings):
        batches = list(right(self, policy, **settings))
        yield from batches[: len(batches) - first_step] if fault == "starts the epoch anew" else batches[3:]

    monkeypatch.setattr(Resident, "train_batches", wrong)
    resumed = train(tmp_path / "cut", data, words)
    assert not same(whole.model.state_dict(), resumed.model.state_dict())
    assert timeless(whole.history)[0] != timeless(resumed.history)[0]


def test_the_seed_decides_everything(data, tmp_path):
    words = EVERYTHING + VARIANTS["sgd plateau"]
    first, again, other = (train(tmp_path / n, data, [*words, f"seed={s}"]) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert same(first.best, again.best)
    assert not same(first.best, other.best)


def test_a_step_is_the_textbook_step(data, tmp_path):
    """One epoch of plain SGD on a linear network against softmax regression written out in numpy."""
    words = ["model.name=mlp", "model.hidden=[16]", "train.epochs=1", "train.batch_size=32", "train.scheduler=constant"]
    words += ["train.optimizer={name: sgd, lr: 0.05, momentum: 0.0, weight_decay: 0.01}", "seed=5"]
    state = train(tmp_path, data, words)

    from espalier.settings.words import parse
    from espalier.site import device
    from espalier.stages.train import build

    model, policy = build(parse(STAGES["train"].settings, words), data, torch.device("cpu"))
    model = model.double()
    total = right = 0.0
    for batch in data.train_batches(policy, epoch=1, seed=5, batch_size=32):
        device.seed(torch.device("cpu"), 5, "dropout", 1, 0, 0)
        probability = model(batch.inputs.double()).softmax(1)
        chosen = probability[torch.arange(len(batch.labels)), batch.labels]
        total -= float(chosen.detach().log().sum())
        right += float((probability.argmax(1) == batch.labels).sum())
        gradients = torch.autograd.grad(-chosen.log().mean(), list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= 0.05 * (gradient + 0.01 * parameter)
    for name, tensor in model.state_dict().items():
        np.testing.assert_allclose(state.model.state_dict()[name], tensor, atol=2e-6)
    assert state.history[0]["train_loss"] == pytest.approx(total / 91, rel=1e-5)
    assert state.history[0]["train_top1"] == pytest.approx(100 * right / 91)


def test_a_last_batch_of_one_image_is_trained_on(data, tmp_path):
    # 91 = 2 × 45 + 1, and two poolings leave one pixel, of which BatchNorm can take no variance.
    words = ["model.name=resnet", "model.blocks=[1,1,1,1]", "model.channels=[4,4,4,4]", "train.epochs=1"]
    state = train(tmp_path, data, [*words, "train.batch_size=45"])
    assert math.isfinite(state.history[0]["train_loss"])
    assert state.schedule.state_dict()["done"] == 3
    assert int(state.model.stem[1].num_batches_tracked) == 2


def test_frozen_statistics_end_with_train_mode():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    freeze_statistics(model.train())
    assert [module.training for module in model] == [True, False, True]
    assert all(module.training for module in model.train())


def test_mixed_targets_are_the_cross_entropy_of_the_mixed_distribution():
    outputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, two = torch.tensor([0, 1, 2, 3, 0]), torch.tensor([1, 1, 0, 2, 3])
    weight = torch.tensor([0.2, 0.5, 1.0, 0.0, 0.7], dtype=torch.float64)
    batch = SimpleNamespace(labels=one, partner_labels=two, weight=weight)
    targets = weight[:, None] * nn.functional.one_hot(one, 4) + (1 - weight[:, None]) * nn.functional.one_hot(two, 4)
    smooth = 0.9 * targets + 0.1 / 4
    expected = -(smooth * outputs.log_softmax(1)).sum(1)
    torch.testing.assert_close(Objective(Training(label_smoothing=0.1))(outputs, batch), expected)


def test_hits_of_mixed_images_are_the_weight_of_the_guessed_label():
    outputs = torch.eye(3)[[0, 1, 2, 0]]
    batch = SimpleNamespace(
        labels=torch.tensor([0, 0, 0, 0]),
        partner_labels=torch.tensor([1, 1, 1, 0]),
        weight=torch.tensor([0.75, 0.75, 0.75, 0.75]),
    )
    assert hits(outputs, batch).tolist() == [0.75, 0.25, 0.0, 1.0]
    batch.partner_labels = None
    assert hits(outputs, batch).tolist() == [1, 0, 0, 1]


def test_divergence_is_told_with_its_epoch_and_rate_and_what_to_try(data, tmp_path):
    words = [*SMALL, "train.epochs=5", "train.optimizer={name: sgd, lr: 1e30}", "train.scheduler=constant"]
    with pytest.raises(Diverged, match=r"epoch 1: the training loss is (nan|inf).*1e\+30.*clip_norm: 1"):
        train(tmp_path, data, words)


def test_training_stops_early_and_keeps_the_best_weights(data, tmp_path):
    words = [*SMALL, "train.epochs=40", "train.early_stopping.patience=3", "train.optimizer={name: sgd, lr: 0.02}"]
    state = train(tmp_path, data, words)
    rows = [row["validation_top1"] for row in state.history]
    assert len(rows) < 40
    assert max(rows[:-3]) >= max(rows[-3:])
    longer = train(tmp_path / "all", data, [word for word in words if "early" not in word])
    assert timeless(longer.history)[: len(rows)] == timeless(state.history)


def test_dropout_is_drawn_by_epoch_and_step():
    assert len({key(0, "dropout", epoch, step, 0) for epoch in range(9) for step in range(9)}) == 81
