import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from espalier.runs import record
from espalier.runs.clock import Clock
from espalier.settings.words import parse
from espalier.stages import STAGES


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("results/runs/train/resnet-16-32-0123456789", "0123456789"),
        ("results/data/digits-0123456789.safetensors", "0123456789"),
        ("plain", "plain"),
    ],
)
def test_a_path_tells_its_id(path, expected):
    assert record.identifier(Path(path)) == expected


def test_git_that_is_absent_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert record.git() == {"commit": None, "dirty": None}


def test_a_folder_outside_git_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(record, "_CODE", tmp_path)
    assert record.git() == {"commit": None, "dirty": None}


def test_the_record_holds_what_was_asked(tmp_path):
    spec = parse(STAGES["train"].settings, ["model.name=mlp", "seed=3", "train.epochs=2"])
    folder = tmp_path / "mlp-0000000001"
    path = Path("d-0000000002.safetensors")
    data = SimpleNamespace(checksum="x", protocol="clean", device=torch.device("cpu"))
    clock = Clock()
    clock.began = 0.0
    row = (STAGES["train"].metrics, dict.fromkeys(STAGES["train"].columns, 1))
    record.write(folder, "train", spec, row, parent=path, data_file=path, data=data, clock=clock, resumed=1)
    written = json.loads((folder / "run.json").read_text())
    assert written["spec"] == {"model": {"name": "mlp"}, "train": {"epochs": 2}, "seed": 3}
    assert (written["run"], written["parent"], written["resumed"]) == ("0000000001", "0000000002", 1)
    assert written["started"] == "1970-01-01T00:00:00+00:00"
    assert written["versions"]["torch"].startswith("2.")
    assert written["versions"]["espalier"]
    assert (folder / "metrics.csv").read_text().splitlines()[0] == ",".join(STAGES["train"].metrics)
