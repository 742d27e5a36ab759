"""Extensions in a plan: one training before them, ids of all else unchanged, and mistakes before any job."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from espalier.plan import priorities
from espalier.results.read import hours
from espalier.settings.problems import StudyError
from espalier.stages import STAGES
from support.written_studies import planner

BASE = "title: a study\ndataset: digits\nmodel: {name: mlp, hidden: [8]}\naugment: [pad_crop]\ntrain: {epochs: 3}\n"
LONGER = "extend: {no: null, longer: {epochs: 4, batch_size: 64}}, "
GRID = f"grid: {{product: {{{LONGER}prune: {{no: null, half: magnitude}}}}}}\n"
ROOT = Path(__file__).parents[2]


def planned(tmp_path, text, **overrides):
    return planner(tmp_path)(BASE + text, **overrides)


def runs(plan, extend, prune):
    wanted = {"extend": extend, "prune": prune}
    (point,) = [point for one in plan.studies.values() for point in one.points if point.labels == wanted]
    return point.runs


def test_the_extension_reads_the_training_and_what_follows_reads_the_extension(tmp_path):
    plan = planned(tmp_path, GRID)
    counts = {"prepare": 1, "train": 1, "extend": 1, "prune": 2, "evaluate": 4}
    assert {stage: len(found) for stage, found in plan.runs.items() if found} == counts
    longer = runs(plan, "longer", "half")
    assert list(longer) == ["prepare", "train", "extend", "prune", "evaluate"]
    assert longer["extend"].parent == longer["train"] and longer["prune"].parent == longer["extend"]
    assert longer["extend"].name == f"mlp-sgd-s0-extended-{longer['extend'].id}"
    place = longer["prune"].command.index("--parents")
    assert longer["prune"].command[place + 1 : place + 3] == [longer["train"].path, longer["extend"].path]
    words = ["extend.epochs=4", "extend.batch_size=64", 'augment=[{"name": "pad_crop"}]']
    assert longer["extend"].words == words


def test_chains_that_are_not_extended_keep_their_ids(tmp_path):
    before = planned(tmp_path, GRID.replace(LONGER, ""))
    assert {run for found in before.runs.values() for run in found} < {
        run for found in planned(tmp_path, GRID).runs.values() for run in found
    }


@pytest.mark.parametrize(
    ("extend", "words"),
    [
        ("{epochs: 4}", "epochs=4"),
        ("{epochs: 4, optimizer: {name: adam, lr: 0.01}, augment: []}", "epochs=4 optimizer=adam lr=0.01 augment=none"),
    ],
)
def test_an_extension_without_a_label_is_called_by_what_is_said_of_it(extend, words, tmp_path):
    (point,) = planned(tmp_path, f"grid: {{points: [{{extend: {extend}}}]}}\n").studies["s"].points
    assert point.labels == {"extend": words}


def test_a_study_may_leave_its_extensions_out(tmp_path):
    text = "extend: {epochs: 4}\nstages: [train, evaluate]\n"
    assert not planned(tmp_path, text).runs["extend"]


def test_a_teacher_of_nothing_else_is_the_training_itself(tmp_path):
    text = "grid: {product: {extend.epochs: [4], extend.teacher: {itself: {}, larger: {model: {hidden: [9]}}}}}\n"
    itself, larger = planned(tmp_path, text).studies["s"].points
    assert itself.runs["extend"].teacher == itself.runs["train"] == larger.runs["train"]
    assert larger.runs["extend"].teacher.spec.model.hidden == (9,)
    assert "-extended-taught-" in larger.runs["extend"].name


def test_a_smoke_run_extends_for_an_epoch(tmp_path):
    text = "extend: {epochs: 40, batch_size: 512, warmup_epochs: 5, processes: 2}\n"
    (run,) = planned(tmp_path, text, scale="smoke").runs["extend"].values()
    asked = run.spec.extend
    assert (asked.epochs, asked.batch_size, asked.warmup_epochs, asked.processes) == (1, 32, 0.5, 1)


def test_its_epochs_are_counted_where_work_is_told(tmp_path):
    text = "extend: {epochs: 4}\nprune: magnitude\ngrid: {product: {control: {no: null, scratch: scratch}}}\n"
    plan = planned(tmp_path, text)
    (extend,), prunes = plan.runs["extend"].values(), plan.runs["prune"].values()
    assert priorities.epochs(extend) == 4
    # From scratch: 3 of training and 4 of its extension, beside 5 of fine-tuning.
    assert {run.spec.control: priorities.epochs(run) for run in prunes} == {None: 5, "scratch": 12}


def test_processes_that_extend_together_count_one_each(tmp_path):
    settings = {"extend.processes": 4, "extend.teacher.train.processes": 9}
    assert hours._processes({"settings": settings}) == 4


def test_the_control_from_scratch_is_told_the_epochs_of_all_the_chain(tmp_path):
    (tmp_path / "w.pt").write_text("weights")
    text = f"checkpoint: {tmp_path / 'w.pt'}\nextend: {{epochs: 4}}\nprune: magnitude\ncontrol: scratch\n"
    with pytest.raises(StudyError, match="scratch would be trained for 12 epochs"):
        planned(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("extend: {}", "extend.epochs", "missing; it has no default"),
        ("extend: {epochs: 0}", "extend.epochs", "expected a number of at least 1"),
        ("extend: {epoch: 4}", "extend.epoch", "did you mean 'epochs'?"),
        ("extend: {epochs: 4, warmup_epochs: 4}", "extend.warmup_epochs", "leaves cosine nothing"),
        ("extend: {epochs: 4, batch_size: 1, processes: 2}", "extend.batch_size", "leaves some of 2 processes without"),
        ("extend: {epochs: 4, compile: true, processes: 2}", "extend.compile", "are not compiled"),
        ("extend: {epochs: 4, augment: [mixup, cutmix]}", "extend.augment", "both mix images"),
        ("extend: {epochs: 4, augment: [grayscale]}", "extend.augment", "needs RGB images"),
    ],
)
def test_a_mistake_is_told_before_any_training(text, key, message, tmp_path):
    with pytest.raises(StudyError) as raised:
        planned(tmp_path, f"{text}\n")
    (found,) = [problem for problem in raised.value.problems if problem.key == key]
    assert message in found.message


def test_a_schedule_that_ends_after_the_extension_is_told(tmp_path):
    text = "extend: {epochs: 4, scheduler: {name: multi_step, milestones: [30]}}\n"
    assert "warning: study s: " in planned(tmp_path, text).summary()
    assert "extend.scheduler" in planned(tmp_path, text).summary()


@pytest.mark.parametrize("profile", ["slurm", "pilot"])
def test_every_stage_that_trains_has_what_a_training_has(profile):
    """A rule that a profile does not name would be sent without a GPU, or claim no slot."""
    asked = YAML(typ="safe").load(ROOT / f"profiles/{profile}/config.yaml")["set-resources"]
    for stage in (each for each in STAGES.values() if each.training in ("train", "extend", "fine_tune")):
        assert asked[stage.name] == asked["train"]
    assert {each.name for each in STAGES.values() if each.gpu} <= asked.keys()
