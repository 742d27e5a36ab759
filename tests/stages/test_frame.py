"""What the frame makes of every stage: the record at its end, and what becomes of a run that has one."""

import csv

import pytest

from espalier.errors import ArtifactError
from espalier.networks import artifact
from espalier.runs import record
from espalier.stages import STAGES
from support.scripts_as_run import run

WORDS = ("model.name=mlp", "train.epochs=2", "seed=3")
WILD = ("model.name=mlp", "train.epochs=2", "train.optimizer.lr=1e30")
NAMES = {"train": "mlp-0000000001", "prune": "mlp-0000000002", "evaluate": "mlp-0000000003"}


def made(root, digits, stage, *words):
    """Run a stage of a chain that stands in a folder, after those before it that are there."""
    before = list(NAMES.values())[: list(NAMES).index(stage)]
    parents = [root / name for name in before if (root / name).exists()]
    return run(stage, root / NAMES[stage], *(["--parents", *parents] if parents else []), "--data", digits, *words)


def well(root, digits, *chain):
    """The records of the stages of a chain, run one after the other."""
    for stage, *words in chain:
        done = made(root, digits, stage, *words)
        assert done.returncode == 0, done.stderr
    return [record.read(root / NAMES[stage]) for stage, *_ in chain]


def content(folder):
    """Name → bytes of all that a run leaves, but for what it says while it runs."""
    files = (path for path in folder.iterdir() if path.name not in ("run.log", "heartbeat.json"))
    return {path.name: path.read_bytes() for path in files}


def test_the_record_holds_what_was_asked_read_and_written(digits, tmp_path):
    train, evaluate = well(tmp_path, digits, ("train", *WORDS), ("evaluate", "evaluate.predictions=true"))
    assert train.content["spec"] == {"model": {"name": "mlp"}, "train": {"epochs": 2}, "seed": 3}
    told = ("run", "parent", "stage", "outcome", "seed", "resumed")
    assert [train.content[key] for key in told] == ["0000000001", "00000000aa", "train", "done", 3, 0]
    assert [evaluate.content[key] for key in told] == ["0000000003", "0000000001", "evaluate", "done", None, 0]
    assert {*train.written, "run.json"} == set(STAGES["train"].written)
    more = {"predictions.csv", "calibration.csv", "per_class.csv", "confusion.csv"}
    assert {*evaluate.written, "run.json"} == {*STAGES["evaluate"].written, *more}
    assert train.read == {}
    assert evaluate.read == {
        f"{NAMES['train']}/{name}": train.written[name] for name in ("model.safetensors", "model.json")
    }
    for found in (train, evaluate):
        assert all(found.path(name).exists() for name in found.written)
        with (found.folder / "metrics.csv").open(newline="") as file:
            assert next(csv.reader(file)) == list(STAGES[found.content["stage"]].metrics)


def test_a_complete_run_is_left_as_it_is_and_what_lies_beside_it_half_way_is_gone(digits, tmp_path):
    (found,) = well(tmp_path, digits, ("train", *WORDS))
    before = content(found.folder)
    left = [found.folder / ".run.json.abcd0123.json", found.folder / "checkpoint/latest.safetensors"]
    left[1].parent.mkdir()
    for path in left:
        path.touch()
    done = made(tmp_path, digits, "train", *WORDS)
    assert done.returncode == 0 and "is complete: done" in done.stderr
    assert content(found.folder) == before


def test_a_run_of_other_settings_is_not_made_over(digits, tmp_path):
    (found,) = well(tmp_path, digits, ("train", *WORDS))
    before = content(found.folder)
    done = made(tmp_path, digits, "train", *WORDS, "train.batch_size=9")
    assert done.returncode == 2 and "holds a run of other settings" in done.stderr and "Traceback" not in done.stderr
    assert content(found.folder) == before


def test_a_diverged_run_is_complete_and_those_after_it_are_not_run(digits, tmp_path):
    train, prune, evaluate = well(tmp_path, digits, ("train", *WILD), ("prune", "prune=magnitude"), ("evaluate",))
    assert train.outcome == "diverged" and "clip_norm: 1" in train.reason
    assert prune.outcome == evaluate.outcome == "not run"
    assert prune.reason == evaluate.reason == f"{NAMES['train']} diverged"
    assert all(not found.metrics and not (found.folder / "metrics.csv").exists() for found in (train, prune, evaluate))
    assert "is complete: diverged" in made(tmp_path, digits, "train", *WILD).stderr
    with pytest.raises(ArtifactError, match="the run has no network"):
        artifact.load(train.folder)


@pytest.mark.parametrize("name", ["metrics.csv", "run.json"])
def test_nothing_is_made_of_a_run_with_a_changed_file(name, digits, tmp_path):
    (train,) = well(tmp_path, digits, ("train", *WORDS))
    path = train.folder / name
    path.write_bytes(path.read_bytes()[:-9] + b"123456789")
    done = made(tmp_path, digits, "evaluate")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{path}: it " in done.stderr and f"espalier forget {train.folder.name}" in done.stderr
    assert not (tmp_path / NAMES["evaluate"] / "run.json").exists()


def test_nothing_is_made_of_a_run_that_is_not_complete(digits, tmp_path):
    (train,) = well(tmp_path, digits, ("train", *WORDS))
    (train.folder / "run.json").unlink()
    done = made(tmp_path, digits, "evaluate")
    assert done.returncode == 2 and "this run is not complete" in done.stderr
