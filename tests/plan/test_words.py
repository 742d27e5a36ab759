"""What the command line and config/config.yaml may say: YAML in every key, studies by any of their names, key paths."""

import pytest

from espalier.plan import config
from espalier.plan.build import build
from espalier.plan.configured_plan import plan_studies
from espalier.plan.study_file import find
from espalier.settings.problems import StudyError

STUDY = "title: a study\ndataset: digits\nmodel: lenet\n"


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("preload", "false", False),
        ("preload", "true", True),
        ("preload", "auto", "auto"),
        ("fail_fast", "null", None),
        ("fail_fast", "3", 3),
        ("tracking", "[mlflow, wandb]", ("mlflow", "wandb")),
        ("tracking", "mlflow,wandb", ("mlflow", "wandb")),
        ("tracking", "null", ()),
        ("tracking", "[]", ()),
        ("studies", 3, ("3",)),
        ("studies", "[3, demo]", ("3", "demo")),
        ("studies", ["3", "demo"], ("3", "demo")),
        ("studies", "2024-01-05", ("2024-01-05",)),
        ("studies", True, ("True",)),
    ],
)
def test_keys_of_the_workflow_are_read_as_yaml(key, given, expected):
    settings, overrides = config.read({key: given})
    assert (getattr(settings, key), overrides) == (expected, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preload": "maybe"}, "found 'maybe', expected 'auto', True or False"),
        ({"studies": "null"}, "expected at least 1 value"),
        ({"studies": "[demo"}, "'[demo' cannot be read as a value: not valid YAML"),
        ({"title": "[x"}, "'[x' cannot be read as a value"),
        ({"train": {"epochs": "[" * 99}}, "nested more than 40 deep"),
        ({"repeats": "9" * 5000}, "a number of 5000 digits; at most 18 are read"),
        ({"epochs": 3}, "unknown key 'epochs'"),
        ({"epochs.train": 3}, "unknown key 'epochs.train'"),
        ({3: 4}, "unknown key 3"),
    ],
)
def test_what_cannot_be_read_is_one_error_of_its_key(given, message):
    with pytest.raises(StudyError) as raised:
        config.read(given)
    (problem,) = raised.value.problems
    assert message in problem.message and len(str(problem)) < 1500
    assert problem.place == "config/config.yaml or --config"


def test_a_dotted_key_is_the_path_of_a_setting():
    _, overrides = config.read({"train.epochs": 3, "train": {"batch_size": 16}, "train.optimizer.lr": "1e-3"})
    assert overrides == {"train": {"epochs": 3, "batch_size": 16, "optimizer": {"lr": "1e-3"}}}


def test_a_dotted_key_in_a_study_is_told_how_it_is_written(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY + "train.optimizer.lr: 0.1\n")
    with pytest.raises(StudyError) as raised:
        build(["s"], tmp_path)
    (problem,) = raised.value.problems
    assert (
        problem.message
        == "'train.optimizer.lr' is a path; write its keys one in the other: train: {optimizer: {lr: …}}"
    )
    assert problem.place == f"{tmp_path}/s.yaml:4"


def test_words_of_the_command_reach_the_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config/studies").mkdir(parents=True)
    (tmp_path / "config/config.yaml").write_text("studies: [7]\npreload: false\n")
    (tmp_path / "config/studies/7.yaml").write_text(STUDY)
    (run,) = plan_studies(words=["train.epochs=3", "train.optimizer.lr=1e-3"]).runs["train"].values()
    assert (run.spec.train.epochs, run.spec.train.optimizer.lr) == (3, 0.001)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("demo", "demo.yaml"),
        ("demo.yaml", "demo.yaml"),
        ("other", "other.yml"),
        ("other.yml", "other.yml"),
        ("3", "3.yaml"),
        ("7", "007.yaml"),
        ("1000.0", "1e3.yaml"),
        ("{folder}/demo", "demo.yaml"),
        ("{folder}/demo.yaml", "demo.yaml"),
        ("{folder}/other", "other.yml"),
        ("2024-01-05", "2024-01-05.yaml"),
    ],
)
def test_a_study_is_found_by_any_of_its_names(name, found, tmp_path):
    for each in ("demo.yaml", "other.yml", "3.yaml", "007.yaml", "1e3.yaml", "2024-01-05.yaml"):
        (tmp_path / each).write_text(STUDY)
    assert find(name.format(folder=tmp_path), tmp_path) == tmp_path / found


def test_names_that_are_one_number_are_told_apart_by_their_paths(tmp_path):
    for each in ("7.yaml", "007.yaml"):
        (tmp_path / each).write_text(STUDY)
    with pytest.raises(StudyError, match="007 and 7 are one number; name one by its path"):
        find("7", tmp_path)


def test_a_study_that_is_not_there_is_named_with_the_nearest(tmp_path):
    (tmp_path / "12.yaml").write_text(STUDY)
    with pytest.raises(StudyError, match=r"unknown study '13'.*allowed: 12"):
        find("13", tmp_path)
