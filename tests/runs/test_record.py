"""The record of a run: no bit of it, or of the files that it names, changes unnoticed."""

import json
import random
from pathlib import Path

import pytest

from espalier.errors import ArtifactError
from espalier.runs import record

NAME = "mlp-0000000001"
MEND = f"espalier forget {NAME}"
FILES = {"metrics.csv": b"run,validation_top1\n0000000001,97.5\n", "model.safetensors": random.Random(0).randbytes(300)}
READ = {"net-0000000002/model.safetensors": "ab" * 32}


@pytest.fixture
def folder(tmp_path):
    """A run that is done."""
    folder = tmp_path / NAME
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    ended(folder)
    return folder


def ended(folder, **said):
    content = {"run": "0000000001", "stage": "train", "outcome": "done", "spec": {"seed": 3, "model": {"name": "é"}}}
    record.write(folder, content | said, FILES, READ)


def flipped(content, bits):
    """The content with each of some of its bits changed in turn."""
    for place in bits:
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        yield bytes(changed)


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


def test_what_is_written_is_read(folder):
    found = record.read(folder)
    assert (found.outcome, found.reason, found.read) == ("done", "", READ)
    assert found.content["spec"] == {"seed": 3, "model": {"name": "é"}}
    assert list(found.written) == list(FILES)
    assert all(found.path(name).read_bytes() == content for name, content in FILES.items())
    assert found.metrics == {"run": "0000000001", "validation_top1": "97.5"}
    assert record.complete(folder) == found


def test_equal_runs_have_equal_records_and_others_another_sha256(folder):
    whole, sha256 = (folder / "run.json").read_bytes(), record.read(folder).sha256
    ended(folder)
    assert (folder / "run.json").read_bytes() == whole
    ended(folder, seed=4)
    assert record.read(folder).sha256 != sha256


def test_a_changed_bit_of_any_byte_of_a_record_is_told(folder):
    path = folder / "run.json"
    whole = path.read_bytes()
    # 9 visits each bit of a byte in turn.
    for changed in flipped(whole, range(0, 8 * len(whole), 9)):
        path.write_bytes(changed)
        with pytest.raises(ArtifactError, match=rf"run\.json: .*{MEND}$"):
            record.read(folder)


def test_a_damaged_record_is_told_with_what_is_wrong_and_what_to_do(folder):
    path = folder / "run.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(ArtifactError) as error:
        record.read(folder)
    mend = f"To have this run made again: {MEND}"
    assert str(error.value) == f"{path}: it is damaged: its content is not what its SHA-256 says. {mend}"
    path.write_text("{")
    with pytest.raises(ArtifactError, match=rf"^{path}: it cannot be read as a record \(.+\)\. {mend}$"):
        record.read(folder)


def test_a_record_that_is_cut_is_told(folder):
    path = folder / "run.json"
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ArtifactError, match=rf"run\.json: .*{MEND}$"):
            record.read(folder)


@pytest.mark.parametrize("more", [b"\n", b" ", b"{}", b"\0"])
def test_a_record_with_more_behind_it_is_told(folder, more):
    path = folder / "run.json"
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(ArtifactError, match=MEND):
        record.read(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_bit_of_a_file_is_told(folder, name):
    found = record.read(folder)
    bits = random.Random(1).sample(range(8 * len(FILES[name])), 100)
    for changed in [*flipped(FILES[name], bits), FILES[name][:-1], b"", FILES[name] + b"\0"]:
        (folder / name).write_bytes(changed)
        with pytest.raises(ArtifactError, match=rf"{name}: it is damaged.*{MEND}$"):
            found.path(name)


def test_changed_tables_are_not_read(folder):
    (folder / "metrics.csv").write_text("run,validation_top1\n0000000001,99.5\n")
    for read in (lambda found: found.rows("metrics.csv"), lambda found: found.metrics):
        with pytest.raises(ArtifactError, match=rf"metrics\.csv: it is damaged.*{MEND}$"):
            read(record.read(folder))


def test_a_file_that_is_gone_or_that_the_run_has_not_written_is_told(folder):
    (folder / "metrics.csv").unlink()
    (folder / "left.csv").write_text("")
    found = record.read(folder)
    with pytest.raises(ArtifactError, match=rf"metrics\.csv: it cannot be read.*{MEND}$"):
        found.path("metrics.csv")
    with pytest.raises(ArtifactError, match=rf"left\.csv: .*names no such file.*{MEND}$"):
        found.path("left.csv")


def test_a_record_of_another_run_is_told(folder):
    other = folder.rename(folder.with_name("mlp-0000000009"))
    with pytest.raises(ArtifactError, match=r"the record of the run 0000000001\. .*forget mlp-0000000009"):
        record.read(other)


@pytest.mark.parametrize("content", [{"run": "0000000001", "stage": "train"}, {"record": 3, "sha256": ""}, [], 1, None])
def test_what_has_no_seal_of_this_version_is_told(folder, content):
    (folder / "run.json").write_text(json.dumps(content, indent=2))
    with pytest.raises(ArtifactError, match=rf"it is no record of version 2.*{MEND}$"):
        record.read(folder)


def test_without_a_record_a_run_is_not_complete(folder):
    (folder / "run.json").unlink()
    for where in (folder, folder / "none", folder / "metrics.csv"):
        assert record.read(where) is None
    with pytest.raises(ArtifactError, match=r"run\.json: does not exist"):
        record.complete(folder)


def test_a_run_that_is_not_done_has_a_reason_and_no_metrics(folder):
    ended(folder, outcome="diverged", reason="epoch 1: the training loss is nan")
    found = record.complete(folder)
    assert (found.outcome, found.reason, found.metrics) == ("diverged", "epoch 1: the training loss is nan", {})
