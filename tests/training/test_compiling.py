"""When a training is compiled, and that its steps are the same then."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espalier.data.resident import Resident
from espalier.settings.problems import StudyError
from espalier.settings.words import parse
from espalier.training import compiled_step
from support.digits_runs import train

ROOT = Path(__file__).parents[2]
RESNET = "model={name: resnet, blocks: [1], channels: [4]}"


def wanted(*words, where="cpu"):
    spec = parse("train", ["model=resnet20", *words])
    model = spec.model.build(10, 32)
    return compiled_step.wanted(model, spec.train, 45_000, 32, torch.device(where))


def test_only_as_told_or_where_it_saves_more_than_it_takes():
    assert wanted() is False and wanted("train.compile=true") is True
    # 45,000 images of ResNet-20 take 150 s an epoch, of which compiled steps save 12.
    assert wanted("train.compile=auto", "train.epochs=3") is False
    if shutil.which("g++"):
        assert wanted("train.compile=auto", "train.epochs=10") is True


def test_auto_leaves_alone_what_was_not_measured(monkeypatch):
    assert wanted("train.compile=auto", "train.epochs=300", where="cuda") is False
    assert wanted("train.compile=auto", "train.epochs=300", "train.processes=2") is False
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert wanted("train.compile=auto", "train.epochs=300") is False


def test_fine_tuning_is_never_compiled():
    with pytest.raises(StudyError, match=r"fine_tune.compile"):
        parse("prune", ["prune=magnitude", "fine_tune.compile=true"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_compiled_steps_learn_the_same_and_resume_with_the_same_bits(tmp_path):
    file = tmp_path / "digits.safetensors"
    script = [sys.executable, ROOT / "workflow/scripts/prepare_data.py", file, "dataset=digits"]
    subprocess.run(script, check=True, capture_output=True)
    digits = Resident.load(file, torch.device("cpu"))
    words = [RESNET, "train.epochs=2", "train.batch_size=64"]
    plain = train(tmp_path / "plain", digits, words)
    whole = train(tmp_path / "whole", digits, [*words, "train.compile=true"])
    assert whole.history[-1]["train_loss"] == pytest.approx(plain.history[-1]["train_loss"], rel=1e-3)
    assert train(tmp_path / "cut", digits, [*words, "train.compile=true"], stop=25) is None
    resumed = train(tmp_path / "cut", digits, [*words, "train.compile=true"])
    assert all(torch.equal(tensor, resumed.best[name]) for name, tensor in whole.best.items())
