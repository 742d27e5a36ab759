"""Weights that a study starts from: files however they are written, runs, and the best of another study."""

from pathlib import Path

import pytest

from espalier.plan.best_chain import best
from espalier.plan.build import build
from espalier.runs import record as records
from espalier.runs.spoken_name import spoken_name
from espalier.settings.problems import StudyError
from espalier.settings.words import parse
from espalier.stages import STAGES

STUDIES = Path("config/studies")
HEAD = "title: a study\ndataset: digits\nmodel: lenet\n"
DEMO = HEAD + "grid: {product: {train.epochs: [1, 2, 3]}}\n"


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    STUDIES.mkdir(parents=True)
    (STUDIES / "demo.yaml").write_text(DEMO)


def planned(name, text=None, **overrides):
    if text is not None:
        (STUDIES / f"{name}.yaml").write_text(HEAD + text)
    return build([name], STUDIES, overrides).studies[name]


def ended(run, top1=None, outcome=records.DONE):
    """Write what a run of the plan would leave."""
    folder = Path(run.path)
    folder.mkdir(parents=True)
    names = []
    if outcome == records.DONE:
        names = [name for name in (STAGES[run.stage].network, "metrics.csv") if name]
        (folder / "metrics.csv").write_text(f"run,validation_top1\n{run.id},{'' if top1 is None else top1}\n")
        if len(names) > 1:
            (folder / names[0]).write_text("weights")
    content = {"run": run.id, "stage": run.stage, "outcome": outcome, "reason": "because"}
    records.write(folder, content, names, {})


def made(tops, study="demo"):
    """All runs of a study ended, its chains with these scores; None for one that diverged."""
    points = planned(study).points
    for point, top1 in zip(points, tops, strict=True):
        for stage, run in list(point.runs.items())[1:]:
            outcome = records.DONE if top1 is not None else records.DIVERGED
            ended(run, top1 if stage == "train" else None, outcome)
    return [point.runs["train"] for point in points]


def file_of(name, text, **overrides):
    (run,) = [each.runs["train"] for each in planned(name, text, **overrides).points]
    return run.spec.checkpoint.file


def told(name, text):
    with pytest.raises(StudyError) as raised:
        planned(name, text)
    (problem,) = raised.value.problems
    return problem


def test_the_best_of_a_study_is_a_file_of_its_run_when_the_plan_is_made():
    _, second, _ = made([50.0, 70.0, None])
    expected = f"{second.path}/model.safetensors"
    assert file_of("mine", "checkpoint: {study: demo, best: true}\n") == expected
    assert best(planned("demo")).runs["train"] == second
    direct = planned("direct", f"checkpoint: {expected}\n").points[0].runs["train"]
    assert planned("mine").points[0].runs["train"].id == direct.id, "the same weights are the same run"


def test_a_study_that_is_not_finished_is_one_error_with_its_place():
    points = planned("demo").points
    ended(points[0].runs["train"], 50.0)
    problem = told("mine", "checkpoint: {study: demo, best: true}\n")
    assert problem.place == f"{STUDIES}/mine.yaml:4"
    assert problem.key == "checkpoint.study"
    assert problem.message.startswith("5 of 6 runs of the study 'demo' have not ended")
    assert "--config studies=demo" in problem.message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{study: dmo, best: true}", "did you mean 'demo'?"),
        ("{study: mine, best: true}", "studies start from one another: mine → mine"),
        ("{study: demo}", "study and best: true go together"),
        ("{study: demo, best: false}", "expected True"),
        ("{best: true}", "found none of file, run and study"),
        ("{study: demo, best: true, file: a.pt}", "found file and study of file, run and study; name one"),
        ("{run: 0123456789}", "no run of this id, name, spoken name or path lies in results/runs"),
        ("{file: none.pt}", "there is no file 'none.pt'"),
        ("results", "'results' is a folder; name a file in it, or a run"),
        ("{file: 3}", "expected a text"),
        ("results/run.json", "holds no state dict; name a file"),
        ("{file: demo.pt, weigths: ema}", "did you mean 'weights'?"),
    ],
)
def test_what_names_no_weights_is_one_error(value, message):
    Path("results").mkdir()
    Path("results/run.json").write_text("{}")
    assert message in told("mine", f"checkpoint: {value}\n").message


def test_studies_that_start_from_one_another_are_named():
    (STUDIES / "demo.yaml").write_text(DEMO + "checkpoint: {study: mine, best: true}\n")
    assert "mine → demo → mine" in told("mine", "checkpoint: {study: demo, best: true}\n").message


def test_a_study_of_which_every_chain_diverged_has_no_best():
    made([None, None, None])
    assert "no chain of the study 'demo' is done" in told("mine", "checkpoint: {study: demo, best: true}\n").message


def test_a_run_is_named_by_its_id_its_name_or_its_path_however_written():
    first, *_ = made([50.0, 70.0, 60.0])
    for name in (
        first.id,
        first.name,
        spoken_name(first.id),
        first.path,
        f"./{first.path}",
        f"results/../{first.path}",
        Path(first.path).resolve(),
    ):
        assert file_of("mine", f"checkpoint: {{run: '{name}'}}\n") == f"{first.path}/model.safetensors"


def test_a_spoken_name_shorter_than_an_id_is_not_filled_with_zeros():
    assert len("icy-owl-5") < records.DIGITS
    message = told("mine", "checkpoint: {run: icy-owl-5}\n").message
    assert message.startswith("icy-owl-5: no run of this id"), message


def test_a_run_without_weights_names_the_one_before_it():
    first, *_ = made([50.0, 70.0, 60.0])
    scored = planned("demo").points[0].runs["evaluate"]
    content = {"run": scored.id, "stage": "evaluate", "outcome": "done", "parent": first.id}
    records.write(Path(scored.path), content, [], {})
    assert f"name the run before it, {first.id}" in told("mine", f"checkpoint: {{run: '{scored.id}'}}\n").message


def test_a_teacher_and_an_axis_may_name_them_too():
    first, second, _ = made([50.0, 70.0, 60.0])
    text = f"train: {{teacher: {{checkpoint: {{study: demo, best: true}}}}}}\ncheckpoint: {{run: '{first.id}'}}\n"
    run = planned("mine", text).points[0].runs["train"]
    assert run.teacher.spec.checkpoint.file == f"{second.path}/model.safetensors"
    values = f"{{new: null, best: {{study: demo, best: true}}, first: {{run: '{first.id}'}}}}"
    grid = f"grid: {{product: {{checkpoint: {values}}}}}\n"
    study = planned("axis", grid)
    assert [point.labels["checkpoint"] for point in study.points] == ["new", "best", "first"]
    assert study.baseline == {"checkpoint": "new"}


@pytest.mark.parametrize("written", ["weights/a.pt", "./weights/a.pt", "weights/../weights/a.pt", "{cwd}/weights/a.pt"])
def test_a_path_stays_as_it_is_written_and_says_the_same_with_more_settings(written):
    Path("weights").mkdir()
    Path("weights/a.pt").write_text("weights")
    path = written.format(cwd=Path.cwd())
    short = planned("short", f"checkpoint: {path}\n").points[0].runs["train"]
    long = planned("long", f"checkpoint: {{file: {path}, new_classifier: false}}\n").points[0].runs["train"]
    assert short.id == long.id and f'checkpoint="{path}"' in short.words
    assert parse(STAGES["train"].settings, short.words) == short.spec


def test_settings_of_weights_are_axes_and_overrides_and_go_through_the_command_line():
    Path("a.pt").write_text("weights")
    study = planned("mine", "checkpoint: a.pt\ngrid: {product: {checkpoint.weights: [raw, ema]}}\n")
    first, second = (point.runs["train"] for point in study.points)
    assert (first.spec.checkpoint.file, first.spec.checkpoint.weights) == ("a.pt", "raw")
    assert first.id != second.id
    assert [point.labels["checkpoint.weights"] for point in study.points] == ["raw", "ema"]
    text = "checkpoint: {file: a.pt, rename: {'^a\\.': '', '^b': null}}\n"
    run = planned("renamed", text).points[0].runs["train"]
    assert run.spec.checkpoint.rename == (("^a\\.", ""), ("^b", None))
    assert parse(STAGES["train"].settings, run.words) == run.spec


@pytest.mark.parametrize("key", ["new_classifier", "new_statistics"])
def test_what_starts_anew_must_be_trained(key):
    Path("a.pt").write_text("weights")
    problem = told("mine", f"train: {{epochs: 0}}\ncheckpoint: {{file: a.pt, {key}: true}}\n")
    assert problem.key == f"checkpoint.{key}" and "give train.epochs" in problem.message


def test_an_override_of_one_setting_keeps_the_file_and_one_of_the_file_keeps_nothing():
    for name in ("a.pt", "b.pt"):
        Path(name).write_text("weights")
    (point,) = planned("mine", "checkpoint: a.pt\n", checkpoint={"weights": "ema"}).points
    found = point.runs["train"].spec.checkpoint
    assert (found.file, found.weights) == ("a.pt", "ema")
    text = "checkpoint: {file: a.pt, weights: ema}\n"
    (point,) = planned("mine", text, checkpoint={"file": "b.pt"}).points
    assert 'checkpoint="b.pt"' in point.runs["train"].words
