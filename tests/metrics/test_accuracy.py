"""Top-1, top-5, balanced top-1 and the loss of a split."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.nn import functional

from espalier.metrics.accuracy import score


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_scores_are_those_of_the_definition_whatever_the_batch(batch):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 8, generator=draw)
    # Class 7 has no image, and class 0 most of them.
    labels = torch.randint(-9, 7, (40,), generator=draw).clamp(min=0)
    batches = zip(logits.split(batch), labels.split(batch), strict=True)
    found = score(nn.Identity(), batches, classes=8)
    answers = logits.argmax(1)
    assert found["top1"] == pytest.approx(100 * (answers == labels).double().mean().item())
    assert found["loss"] == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-5)
    likeliest = logits.topk(5).indices
    assert found["top5"] == pytest.approx(100 * (likeliest == labels[:, None]).any(1).double().mean().item())
    own = [np.mean((answers == labels)[labels == number].numpy()) for number in labels.unique()]
    assert found["balanced_top1"] == pytest.approx(100 * np.mean(own))
    kept = np.isin(answers, labels.unique())
    if kept.all():
        assert found["balanced_top1"] == pytest.approx(100 * balanced_accuracy_score(labels, answers))


def test_sums_of_several_processes_are_added(monkeypatch):
    parts = []
    logits, labels = torch.randn(10, 3, generator=torch.Generator().manual_seed(1)), torch.arange(10) % 3
    whole = score(nn.Identity(), [(logits, labels)], classes=3)
    # The first process has no batch at all.
    for batches in ([], [(logits[:4], labels[:4])], [(logits[4:], labels[4:])]):
        score(nn.Identity(), [*batches], classes=3, total=lambda part: parts.append(part) or torch.ones_like(part))
    assert score(nn.Identity(), [], classes=3, total=lambda _: sum(parts)) == pytest.approx(whole)
