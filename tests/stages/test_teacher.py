"""A teacher as it is run: its answers are learned, its bytes verified, its end waited for."""

import json
import shutil

import pytest
from safetensors.torch import load_file

from espalier.errors import ArtifactError, Mistake
from espalier.plan.build import build
from espalier.plan.plan_records import PlanRecords
from espalier.runs import record
from support.digits_runs import made
from support.scripts_as_run import run

LARGE = ["model={name: resnet, blocks: [1, 1], channels: [8, 16]}", "augment=[pad_crop]", "train.epochs=1", "seed=1"]
SMALL = ["model={name: resnet, blocks: [1, 1], channels: [4, 8], dropout: 0.1}", "augment=[pad_crop, mixup]", "seed=1"]
SMALL += ["train.epochs=2", "train.batch_size=128"]
TAUGHT = [*SMALL, "train.teacher={temperature: 3.0, weight: 0.8}"]


@pytest.fixture(scope="module")
def teacher(digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("teacher") / "resnet-00000000bb", digits, *LARGE)


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
    whole = made(tmp_path / "whole-0000000001", digits, *TAUGHT, teacher=teacher)
    cut = tmp_path / "cut-0000000001"
    # Within the first epoch, at its end, and within the second.
    for looks in (3, 8, 4):
        made(cut, digits, *TAUGHT, teacher=teacher, stop=looks)
        assert not (cut / "run.json").exists()
    made(cut, digits, *TAUGHT, teacher=teacher)
    assert content(cut)["resumed"] == 3
    assert weights(cut) == weights(whole)


def test_another_teacher_does_not_go_on_with_a_student(teacher, digits, tmp_path):
    other = made(tmp_path / "other-00000000cc", digits, *LARGE, "seed=2")
    cut = made(tmp_path / "cut-0000000001", digits, *TAUGHT, teacher=teacher, stop=3)
    with pytest.raises(Mistake, match="other-00000000cc"):
        made(cut, digits, *TAUGHT, teacher=other)


@pytest.mark.slow
def test_two_processes_learn_of_a_teacher_what_one_does(teacher, digits, tmp_path):
    words = ["model={name: mlp, hidden: [16]}", "train.epochs=1", "train.batch_size=53", "train.teacher={}"]
    one, two = (tmp_path / f"{name}-0000000001" for name in ("one", "two"))
    for folder, processes in ((one, 1), (two, 2)):
        where = ("--teacher", teacher, "--data", digits)
        done = run("train", folder, *where, *words, f"train.processes={processes}")
        assert done.returncode == 0, done.stderr
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, two))
    for name, weight in ours.items():
        assert weight.allclose(theirs[name], rtol=1e-3, atol=1e-4), name


def test_a_damaged_teacher_teaches_nobody(digits, tmp_path):
    damaged = made(tmp_path / "resnet-00000000cc", digits, *LARGE)
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ArtifactError, match="it is damaged") as found:
        made(tmp_path / "taught-0000000001", digits, *TAUGHT, teacher=damaged)
    assert str(path) in str(found.value)
    assert not (tmp_path / "taught-0000000001/run.json").exists()


def test_a_student_of_a_teacher_that_diverged_is_not_run(digits, tmp_path):
    wild = made(tmp_path / "wild-00000000cc", digits, "model=mlp", "train.epochs=2", "train.optimizer.lr=1e30")
    student = made(tmp_path / "taught-0000000001", digits, *TAUGHT, teacher=wild)
    found = record.read(student)
    assert (found.outcome, found.reason) == ("not run", f"{wild.name} diverged")
    assert found.content["teacher"] == "00000000cc"


def test_a_teacher_without_its_run_is_told_in_a_line(digits, tmp_path):
    done = run("train", tmp_path / "taught-0000000001", "--data", digits, *TAUGHT)
    assert done.returncode == 2 and "name the folder of its run, --teacher FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_teacher_of_other_data_is_refused(teacher, digits, tmp_path):
    other = tmp_path / "digits-00000000dd.safetensors"
    assert run("prepare", other, "dataset.name=digits", "dataset.image_size=16").returncode == 0
    with pytest.raises(ArtifactError, match=r"made for \(classes, image size, channels\)"):
        made(tmp_path / "taught-0000000001", other, *TAUGHT, teacher=teacher)


PRUNED = ["prune={name: magnitude, ratio: 0.5}", "fine_tune.epochs=1"]
QUANTIZED = ["quantize={weight_bits: [4], activation_bits: [8]}", "quantize.fine_tune.epochs=1"]


@pytest.mark.parametrize(
    ("stage", "words", "key"), [("prune", PRUNED, "fine_tune"), ("quantize", QUANTIZED, "quantize.fine_tune")]
)
def test_fine_tuning_learns_of_a_teacher(stage, words, key, teacher, digits, tmp_path):
    where = {"stage": stage, "parents": (teacher,)}
    alone = made(tmp_path / "alone-0000000001", digits, *words, **where)
    unheard = made(tmp_path / "alone-0000000002", digits, *words, f"{key}.teacher.weight=0.0", teacher=teacher, **where)
    taught = made(tmp_path / "taught-0000000003", digits, *words, f"{key}.teacher={{}}", teacher=teacher, **where)
    assert content(taught)["teacher"] == content(taught)["parent"] == "00000000bb"
    assert weights(alone) == weights(unheard) != weights(taught)


def test_trained_from_scratch_the_structure_has_the_teacher_of_its_parent(teacher, digits, tmp_path):
    parent = made(tmp_path / "taught-0000000001", digits, *TAUGHT, teacher=teacher)
    words = [*PRUNED, "control=scratch"]
    with pytest.raises(Mistake, match="--teacher FOLDER"):
        made(tmp_path / "scratch-0000000002", digits, *words, stage="prune", parents=(parent,))
    found = made(tmp_path / "scratch-0000000003", digits, *words, stage="prune", parents=(parent,), teacher=teacher)
    assert content(found)["outcome"] == "done"


def test_a_teacher_made_anew_with_other_bytes_is_told_of_its_students(digits, tmp_path):
    text = "title: a study\ndataset: digits\nmodel: {name: mlp, hidden: [8]}\ntrain: {epochs: 1, teacher: {seed: 7}}\n"
    (tmp_path / "asked.yaml").write_text(text + "stages: [train]\n")
    plan = build(["asked"], tmp_path)
    teacher, student = plan.runs["train"].values()
    assert student.teacher == teacher
    folder = tmp_path / teacher.path
    folder.parent.mkdir(parents=True)
    made(folder, digits, *teacher.words)
    made(tmp_path / student.path, digits, *student.words, teacher=folder)
    assert not PlanRecords(plan, tmp_path).problems and PlanRecords(plan, tmp_path).complete(student)
    shutil.rmtree(folder)
    assert PlanRecords(plan, tmp_path).complete(student), "a complete student needs its teacher no more"
    made(folder, digits, *teacher.words, "seed=8")
    ((run, why),) = PlanRecords(plan, tmp_path).problems.items()
    assert run == student and f"it was made of another {teacher.path}/model.safetensors than lies there now" in why
