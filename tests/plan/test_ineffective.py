"""What cannot be trained as it is asked is an error with its numbers; what is said in vain is a warning."""

import pytest

from espalier.settings.problems import StudyError
from support.written_studies import planner

HEAD = "title: a study\ndataset: digits\n"
LENET = HEAD + "model: lenet\n"
GRID = "grid: {product: {train.optimizer.lr: [0.1, 0.05]}}\n"


def planned(tmp_path, text, **overrides):
    return planner(tmp_path)(text, **overrides)


def problem(tmp_path, text, **overrides):
    with pytest.raises(StudyError) as raised:
        planned(tmp_path, text, **overrides)
    (found,) = raised.value.problems
    return found


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        (
            "train: {epochs: 5, warmup_epochs: 10}",
            "train.warmup_epochs",
            "a warm-up of 10 epochs leaves cosine nothing of a training of 5 epochs",
        ),
        (
            "train: {epochs: 5, warmup_epochs: 5, scheduler: one_cycle}",
            "train.warmup_epochs",
            "a warm-up of 5 epochs leaves one_cycle nothing of a training of 5 epochs",
        ),
        (
            "prune: magnitude\nfine_tune: {epochs: 2, warmup_epochs: 2.5}",
            "fine_tune.warmup_epochs",
            "a warm-up of 2.5 epochs leaves cosine nothing of a training of 2 epochs",
        ),
        (
            "quantize: {fine_tune: {epochs: 2, warmup_epochs: 3}}",
            "quantize.fine_tune.warmup_epochs",
            "a warm-up of 3 epochs leaves cosine nothing",
        ),
        (
            "train: {teacher: {train: {epochs: 3, warmup_epochs: 4}}}",
            "train.teacher.train.warmup_epochs",
            "a warm-up of 4 epochs leaves cosine nothing of a training of 3 epochs",
        ),
        (
            "prune: magnitude\ncontrol: scratch\ncontrol_epochs: 4\ntrain: {warmup_epochs: 4}",
            "control_epochs",
            "a warm-up of 4 epochs, as train has it, is all of 4 epochs",
        ),
    ],
)
def test_a_warm_up_as_long_as_its_training_is_an_error_with_both(text, key, message, tmp_path):
    found = problem(tmp_path, f"{LENET}{text}\n")
    assert found.key == key and message in found.message


@pytest.mark.parametrize(
    "start", ["pretrained: true", "checkpoint: {path}", "checkpoint: {path}\ntrain: {{epochs: 0}}"]
)
def test_a_control_from_scratch_beside_other_weights_is_told_its_epochs(start, tmp_path):
    path = tmp_path / "w.pt"
    path.write_text("weights")
    text = f"{HEAD}model: mobilenetv2\n{start.format(path=path)}\nprune: magnitude\n"
    text += "grid: {product: {control: [null, scratch]}}\n"
    found = problem(tmp_path, text)
    epochs = 5 if "epochs: 0" in start else 15
    assert found.key == "control" and f"scratch would be trained for {epochs} epochs" in found.message
    plan = planned(tmp_path, f"{text}control_epochs: 300\n")
    asked = {run.spec.control: run.spec.control_epochs for run in plan.runs["prune"].values()}
    assert asked == {None: None, "scratch": 300}, "what is no control has no such setting, and keeps its id"


def test_random_choices_are_no_matter_of_epochs(tmp_path):
    (tmp_path / "w.pt").write_text("weights")
    planned(tmp_path, f"{LENET}checkpoint: {tmp_path}/w.pt\nprune: magnitude\ncontrol: random\n")


@pytest.mark.parametrize(
    ("text", "overrides", "key", "message"),
    [
        (
            GRID,
            {"train": {"optimizer": {"lr": 0.7}}},
            "train.optimizer.lr",
            "every point of the grid sets train.optimizer.lr",
        ),
        (
            "grid: {product: {train.optimizer: [sgd, adam]}}\n",
            {"train": {"optimizer": {"lr": 0.7}}},
            "train.optimizer.lr",
            "every point of the grid sets train.optimizer;",
        ),
        ("grid: {points: [{model: lenet}, {model: mlp}]}\n", {"model": "resnet"}, "model", "sets model;"),
        ("", {"fine_tune": {"epochs": 3}}, "fine_tune.epochs", "no chain of the study reads it"),
    ],
)
def test_an_override_that_changes_no_run_says_so(text, overrides, key, message, tmp_path):
    plan = planned(tmp_path, LENET + text, **overrides)
    (warning,) = plan.studies["s"].warnings
    assert (warning.key, warning.place) == (key, "--config") and message in warning.message
    assert f"warning: study s: --config: {key}: does nothing" in plan.summary()
    assert plan.runs == planned(tmp_path, LENET + text).runs


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (GRID, {"train": {"epochs": 3}}),
        (GRID + "repeats: 2\n", {"repeats": 3, "seed": 4}),
        ("grid: [{}, {product: {train.optimizer.lr: [0.1]}}]\n", {"train": {"optimizer": {"lr": 0.7}}}),
        ("grid: {product: {train.optimizer.lr: [0.1]}}\n", {"train": {"optimizer": "adam"}}),
        ("", {"fine_tune": {"epochs": 3}, "prune": "magnitude"}),
    ],
)
def test_an_override_that_changes_some_run_is_no_warning(text, overrides, tmp_path):
    assert planned(tmp_path, LENET + text, **overrides).studies["s"].warnings == ()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("{scheduler: step}", "step first cuts the rate after 30 epochs, and the training has 10"),
        ("{scheduler: multi_step, epochs: 60}", "multi_step first cuts the rate after 60 epochs"),
        ("{scheduler: cosine_restarts, epochs: 5}", "first period of 10 epochs, and the training ends after 5"),
        ("{scheduler: cosine_restarts, warmup_epochs: 1}", "first period of 10 epochs after 1 of warm-up"),
        ("{scheduler: cosine_restarts}", None),
        ("{scheduler: multi_step, epochs: 61}", None),
        ("{scheduler: one_cycle, epochs: 1}", None),
        ("{scheduler: plateau}", None),
    ],
)
def test_a_schedule_that_training_ends_before_is_a_warning_with_its_line(train, message, tmp_path):
    warnings = planned(tmp_path, f"{LENET}train: {train}\n").studies["s"].warnings
    if message is None:
        assert warnings == ()
    else:
        assert message in warnings[0].message and warnings[0].place == f"{tmp_path}/s.yaml:4"
