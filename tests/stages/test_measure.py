import math

import pytest
import torch
from torch import nn

from espalier.metrics import cost
from espalier.metrics.accuracy import score
from espalier.site import device


class Table(nn.Module):
    """Outputs that are the inputs."""

    def forward(self, inputs):
        return inputs


def test_scores_are_those_counted_by_hand():
    generator = torch.Generator().manual_seed(0)
    outputs, labels = torch.randn(23, 7, generator=generator), torch.randint(0, 7, (23,), generator=generator)
    found = score(Table(), zip(outputs.split(5), labels.split(5), strict=True))
    ranks = [sum(float(o) > float(row[label]) for o in row) for row, label in zip(outputs, labels, strict=True)]
    losses = [
        -float(row[label]) + math.log(sum(math.exp(o) for o in row.tolist()))
        for row, label in zip(outputs, labels, strict=True)
    ]
    assert found == {
        "loss": pytest.approx(sum(losses) / 23, rel=1e-6),
        "top1": pytest.approx(100 * sum(rank < 1 for rank in ranks) / 23),
        "top5": pytest.approx(100 * sum(rank < 5 for rank in ranks) / 23),
    }


def test_top5_of_three_classes_is_everything():
    assert score(Table(), [(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))])["top5"] == 100


def test_scoring_leaves_no_gradients_and_evaluation_mode():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.9))
    batch = [(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))]
    assert score(model.train(), batch) == score(model, batch)
    assert not model.training


def test_params_and_macs_of_a_network_counted_by_hand():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 10),
    )
    model[1].eval()
    assert cost.params(model) == 3 * 8 * 9 + 16 + (8 * 2 * 9 + 8) + (128 * 10 + 10)
    assert cost.macs(model, image_size=8) == 64 * 8 * 3 * 9 + 16 * 8 * 2 * 9 + 128 * 10


def test_tied_parameters_count_once():
    model = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    model[1].weight = model[0].weight
    assert cost.params(model) == 16 + 4 + 4


@pytest.mark.parametrize("training", [True, False])
def test_counting_changes_neither_mode_nor_statistics(training):
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    cost.macs(model, 4)
    assert model.training == training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_peak_memory_is_that_of_a_process_with_torch():
    assert 50 < device.peak_memory_mib(torch.device("cpu")) < 1e5


def test_seeding_draws_by_words_alone():
    where = torch.device("cpu")
    device.seed(where, 1, "dropout", 2)
    first = torch.rand(5)
    device.seed(where, 1, "dropout", 3)
    assert not torch.equal(first, torch.rand(5))
    device.seed(where, 1, "dropout", 2)
    assert torch.equal(first, torch.rand(5))
