"""Compiled steps learn the same."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espalier.data.resident import Resident
from espalier.settings.problems import StudyError
from espalier.settings.words import parse
from espalier.stages import STAGES
from support.digits_runs import train

ROOT = Path(__file__).parents[2]
RESNET = "model={name: resnet, blocks: [1], channels: [4]}"


def test_fine_tuning_is_never_compiled():
    with pytest.raises(StudyError, match=r"fine_tune.compile"):
        parse(STAGES["prune"].settings, ["prune=magnitude", "fine_tune.compile=true"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_compiled_steps_learn_the_same_and_resume_with_the_same_bits(tmp_path):
    file = tmp_path / "digits.safetensors"
    script = [sys.executable, ROOT / "workflow/scripts/stage.py", "prepare", file, "dataset=digits"]
    subprocess.run(script, check=True, capture_output=True)
    digits = Resident.load(file, torch.device("cpu"))
    words = [RESNET, "train.epochs=2", "train.batch_size=64"]
    plain = train(tmp_path / "plain", digits, words)
    whole = train(tmp_path / "whole", digits, [*words, "train.compile=true"])
    assert whole.history[-1]["train_loss"] == pytest.approx(plain.history[-1]["train_loss"], rel=1e-3)
    assert train(tmp_path / "cut", digits, [*words, "train.compile=true"], stop=25) is None
    resumed = train(tmp_path / "cut", digits, [*words, "train.compile=true"])
    assert all(torch.equal(tensor, resumed.best[name]) for name, tensor in whole.best.items())
