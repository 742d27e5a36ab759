"""A teacher as it is run: its answers are learned, its bytes verified, its end waited for; and any end is gone on from."""

import json
import signal
import subprocess

import pytest
from safetensors.torch import load_file

from espalier.runs import record
from support.scripts_as_run import interrupt, preloaded, run, script

LARGE = ["model={name: resnet, blocks: [1, 1], channels: [8, 16]}", "augment=[pad_crop]", "train.epochs=2", "seed=1"]
SMALL = ["model={name: resnet, blocks: [1, 1], channels: [4, 8], dropout: 0.1}", "augment=[pad_crop, mixup]", "seed=1"]
SMALL += ["train.epochs=2", "train.batch_size=32"]
TAUGHT = [*SMALL, "train.teacher={temperature: 3.0, weight: 0.8}"]


@pytest.fixture(scope="module")
def teacher(digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("teacher") / "resnet-00000000bb", digits, *LARGE)


def made(folder, digits, *words, stage="train", **where):
    """The folder of a run that is made."""
    done = begun(folder, digits, *words, stage=stage, **where)
    assert done.returncode == 0, done.stderr
    return folder


def begun(folder, digits, *words, stage="train", **where):
    before = [word for name, path in where.items() for word in (f"--{name}", path)]
    return run(stage, folder, *before, "--data", digits, *words)


def content(folder):
    return json.loads((folder / "run.json").read_text())


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_the_record_names_the_teacher_and_its_bytes(teacher, digits, tmp_path):
    student = made(tmp_path / "taught-0000000001", digits, *TAUGHT, teacher=teacher)
    told = content(student)
    assert told["teacher"] == "00000000bb" and told["parent"] == "00000000aa"
    assert told["spec"]["train"]["teacher"] == {"temperature": 3.0, "weight": 0.8}
    names = ("model.safetensors", "model.json")
    assert told["read"] == {f"{teacher.name}/{name}": content(teacher)["written"][name] for name in names}
    alone = made(tmp_path / "alone-0000000002", digits, *SMALL)
    assert "teacher" not in content(alone)
    assert weights(alone) != weights(student)
    unheard = made(tmp_path / "unheard-0000000003", digits, *SMALL, "train.teacher={weight: 0.0}", teacher=teacher)
    assert weights(unheard) == weights(alone), "a teacher of no weight changes no bit"


def test_stopped_and_gone_on_with_a_student_ends_with_the_same_bits(teacher, digits, tmp_path):
    words = [*TAUGHT, "train.epochs=6"]
    whole = made(tmp_path / "whole-0000000001", digits, *words, teacher=teacher)
    cut = tmp_path / "cut-0000000001"
    cut.mkdir()
    where = ("--teacher", teacher, "--data", digits, "--checkpoint-minutes", 0.0005)
    command = script("train", cut, *where, *words)
    assert interrupt(command, cut, signal.SIGTERM, saves=3, seconds=0, env=preloaded()) == 75
    assert interrupt(command, cut, signal.SIGTERM, saves=2, seconds=0, env=preloaded()) == 75
    done = subprocess.run(command, env=preloaded(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert content(cut)["resumed"] == 2
    assert weights(cut) == weights(whole)


def test_two_processes_learn_of_a_teacher_what_one_does(teacher, digits, tmp_path):
    words = ["model={name: mlp, hidden: [16]}", "train.epochs=1", "train.batch_size=53", "train.teacher={}"]
    one, two = (tmp_path / f"{name}-0000000001" for name in ("one", "two"))
    made(one, digits, *words, teacher=teacher)
    made(two, digits, *words, "train.processes=2", teacher=teacher)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, two))
    for name, weight in ours.items():
        assert weight.allclose(theirs[name], rtol=1e-3, atol=1e-4), name


def test_a_damaged_teacher_teaches_nobody(teacher, digits, tmp_path):
    damaged = made(tmp_path / "resnet-00000000cc", digits, "model=mlp", "train.epochs=1")
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    done = begun(tmp_path / "taught-0000000001", digits, *TAUGHT, teacher=damaged)
    assert done.returncode == 2 and f"{path}: it is damaged" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "taught-0000000001/run.json").exists()


def test_a_student_of_a_teacher_that_diverged_is_not_run(digits, tmp_path):
    wild = made(tmp_path / "wild-00000000cc", digits, "model=mlp", "train.epochs=2", "train.optimizer.lr=1e30")
    student = made(tmp_path / "taught-0000000001", digits, *TAUGHT, teacher=wild)
    found = record.read(student)
    assert (found.outcome, found.reason) == ("not run", f"{wild.name} diverged")
    assert found.content["teacher"] == "00000000cc"


def test_a_teacher_without_its_run_is_told_in_a_line(digits, tmp_path):
    done = begun(tmp_path / "taught-0000000001", digits, *TAUGHT)
    assert done.returncode == 2 and "name the folder of its run, --teacher FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("stage", "words", "key"),
    [
        ("prune", ["prune={name: magnitude, ratio: 0.5}", "fine_tune.epochs=1"], "fine_tune"),
        (
            "quantize",
            ["quantize={weight_bits: [4], activation_bits: [8]}", "quantize.fine_tune.epochs=1"],
            "quantize.fine_tune",
        ),
    ],
)
def test_fine_tuning_learns_of_a_teacher(stage, words, key, teacher, digits, tmp_path):
    alone = made(tmp_path / "alone-0000000001", digits, *words, stage=stage, parents=teacher)
    taught = made(
        tmp_path / "taught-0000000002",
        *(digits, *words, f"{key}.teacher={{}}"),
        stage=stage,
        parents=teacher,
        teacher=teacher,
    )
    assert content(taught)["teacher"] == content(taught)["parent"] == "00000000bb"
    assert weights(taught) != weights(alone)


def test_trained_from_scratch_the_structure_has_the_teacher_of_its_parent(teacher, digits, tmp_path):
    parent = made(tmp_path / "taught-0000000001", digits, *TAUGHT, teacher=teacher)
    words = ["prune={name: magnitude, ratio: 0.5}", "control=scratch", "fine_tune.epochs=1"]
    done = begun(tmp_path / "scratch-0000000002", digits, *words, stage="prune", parents=parent)
    assert done.returncode == 2 and "--teacher FOLDER" in done.stderr
    made(tmp_path / "scratch-0000000003", digits, *words, stage="prune", parents=parent, teacher=teacher)
