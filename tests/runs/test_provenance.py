import json
from pathlib import Path

import pytest

from espalier.runs import provenance
from espalier.settings.words import parse


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("results/runs/train/resnet-16-32-0123456789", "0123456789"),
        ("results/data/digits-0123456789.safetensors", "0123456789"),
        ("plain", "plain"),
    ],
)
def test_a_path_tells_its_id(path, expected):
    assert provenance.identifier(Path(path)) == expected


def test_git_that_is_absent_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.git() == {"commit": None, "dirty": None}


def test_a_folder_outside_git_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "_CODE", tmp_path)
    assert provenance.git() == {"commit": None, "dirty": None}


def test_the_record_holds_what_was_asked(tmp_path):
    spec = parse("train", ["model.name=mlp", "seed=3", "train.epochs=2"])
    folder = tmp_path / "mlp-0000000001"
    parent = Path("d-0000000002.safetensors")
    provenance.write(folder, "train", spec, parent=parent, data={"checksum": "x"}, started=0.0, resumed=1)
    record = json.loads((folder / "run.json").read_text())
    assert record["spec"] == {"model": {"name": "mlp"}, "train": {"epochs": 2}, "seed": 3}
    assert (record["run"], record["parent"], record["resumed"]) == ("0000000001", "0000000002", 1)
    assert record["started"] == "1970-01-01T00:00:00+00:00"
    assert record["versions"]["torch"].startswith("2.")
    assert record["versions"]["espalier"]
