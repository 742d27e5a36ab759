"""scale: smoke. The same plan as in full, on a few embedded images, and never taken for it."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from espalier.models import rules
from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.plan.scale import BATCH, SIDES
from espalier.results.study_outputs import captions
from espalier.settings.problems import StudyError

STUDIES = Path(__file__).parents[2] / "config/studies"
NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml"))

STUDY = """
title: Asked
dataset: {name: cifar100, image_size: 128}
model: mobilenetv2
pretrained: false
train: {epochs: 20, batch_size: 128, warmup_epochs: 5, processes: 2}
repeats: 3
grid:
  - product: {train.epochs: [10, 20], train.batch_size: [64, 128]}
  - product: {prune: [iterative], prune.rounds: [2, 40], quantize: {w8: {}}, export: {x: {}}}
tables: [summary, layers, {name: layers, repeat: 2}]
figures: [{name: curves, configuration: {train.epochs: "10", train.batch_size: "64"}}]
"""


@cache
def small(name):
    """The smoke plan of a study of the repository."""
    return build([name], STUDIES, {"scale": "smoke"})


def asked(tmp_path, text=STUDY, **overrides):
    (tmp_path / "asked.yaml").write_text(text)
    return build(["asked"], tmp_path, overrides)


# Counting the networks of these takes as long as those of ten others.
SLOW = ("cct-shrinking", "densenet-pruning", "resnet-5m")
MARKED = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NAMES]


@pytest.mark.parametrize("name", MARKED)
def test_every_study_has_the_same_plan_in_small(name, monkeypatch):
    monkeypatch.chdir(STUDIES.parents[1])
    full, smoke = build([name], STUDIES, {"repeats": 1}), small(name)
    one, other = full.studies[name], smoke.studies[f"{name}-smoke"]
    assert one.axes == other.axes
    assert [point.labels for point in one.points] == [point.labels for point in other.points]
    assert [list(point.runs) for point in one.points] == [list(point.runs) for point in other.points]
    for stage, runs in full.runs.items():
        others = smoke.runs[stage]
        assert len(others) == len(runs), f"{stage}: as many runs, shared alike"
        assert not set(others) & set(runs), "no smoke run is ever taken for a full one"
    # Chains that share a run in full share it in small.
    for stage in full.runs:
        pairs = {
            (p.runs[stage].id, q.runs[stage].id)
            for p, q in zip(one.points, other.points, strict=True)
            if stage in p.runs
        }
        assert len(pairs) == len(full.runs[stage])


@pytest.mark.parametrize("name", MARKED)
def test_every_run_in_small_is_small_and_needs_no_download(name, monkeypatch):
    monkeypatch.chdir(STUDIES.parents[1])
    found = small(name).runs
    for data in found["prepare"].values():
        spec = data.spec.dataset
        assert spec.name == "stand_in" and spec.train <= 192 and max(spec.validation, spec.test) <= 64
    for run in found["train"].values():
        assert run.spec.train.epochs <= 1 and run.spec.train.batch_size <= BATCH and not run.spec.pretrained
        side = run.data.spec.dataset.image_size
        assert not rules.misfit(run.spec.model.entry(), run.spec.model.settings(), side)
    for run in found["prune"].values():
        assert run.spec.fine_tune.epochs <= 1 and getattr(run.spec.prune, "rounds", 1) <= 3
    for run in found["quantize"].values():
        assert run.spec.quantize.calibration_images <= 64


def test_networks_keep_their_classes_and_their_settings(tmp_path):
    full, smoke = asked(tmp_path), asked(tmp_path, scale="smoke")
    assert {run.spec.model for run in full.runs["train"].values()} == {
        run.spec.model for run in smoke.runs["train"].values()
    }
    (data,) = smoke.runs["prepare"].values()
    assert data.spec.dataset.classes == 100
    assert data.spec.dataset.image_size == SIDES[0]


def test_warm_up_leaves_room_for_the_schedule_and_one_process_does_it_all(tmp_path):
    for run in asked(tmp_path, scale="smoke").runs["train"].values():
        assert (run.spec.train.epochs, run.spec.train.warmup_epochs, run.spec.train.processes) == (1, 0.5, 1)


def test_it_calls_itself_a_smoke_run_in_a_folder_of_its_own(tmp_path):
    study = asked(tmp_path, scale="smoke").studies["asked-smoke"]
    found = json.loads(json.dumps(manifest(study)))
    assert found["title"] == "Smoke run: Asked" and found["repeats"] == 1
    assert [item["name"] for item in found["tables"]] == ["summary", "layers"], "there is no second repeat to show"
    assert [item["name"] for item in found["figures"]] == ["curves"]
    for text in captions(found, "table").values():
        assert "Smoke run: no number here is a result." in text.text
        assert "nothing is to be compared with a published number" in text.notes


def test_budgets_are_those_of_the_full_networks(tmp_path):
    text = STUDY.partition("tables:")[0] + "constraints: [train.epochs <= 10]\n"
    assert len(asked(tmp_path, text, scale="smoke").studies["asked-smoke"].points) == 2


def test_a_study_says_what_the_rule_cannot_know(tmp_path):
    text = STUDY + "smoke: {prune.rounds: 2, dataset.image_size: 32, train.optimizer.momentum: 0.5}\n"
    full, smoke = asked(tmp_path, text), asked(tmp_path, text, scale="smoke")
    assert {run.spec.prune.rounds for run in smoke.runs["prune"].values()} == {2}
    assert {len(plan.runs["prune"]) for plan in (full, smoke)} == {2, 6}
    assert {run.spec.dataset.image_size for run in smoke.runs["prepare"].values()} == {32}
    assert {run.spec.train.optimizer.momentum for run in smoke.runs["train"].values()} == {0.5}
    assert full.runs == asked(tmp_path).runs, "in full it means nothing"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("{prune.ruonds: 2}", "smoke.prune.ruonds: no configuration of the study has this key"),
        ("{prnue.rounds: 2}", "unknown section 'prnue'; did you mean 'prune'?"),
        ("{prune.rounds: many}", "smoke.prune.rounds: found 'many', expected a whole number"),
        ("{dataset.image_size: 0}", "smoke.dataset.image_size: found 0"),
    ],
)
def test_a_mistake_in_it_is_told_with_its_line(own, message, tmp_path):
    text = STUDY + f"smoke: {own}\n"
    with pytest.raises(StudyError) as error:
        asked(tmp_path, text, scale="smoke")
    assert message in str(error.value)
    assert "asked.yaml:13" in str(error.value)


def test_the_stand_in_has_the_asked_shape_and_stratified_disjoint_splits():
    from pydantic import TypeAdapter

    from espalier.settings.registry import choice

    found = (
        TypeAdapter(choice("dataset"))
        .validate_python({"name": "stand_in", "image_size": 24, "classes": 101})
        .build(None)
    )
    assert tuple(found.images.shape) == (96, 3, 24, 24) and len(found.classes) == 101
    places = torch.cat(list(found.splits.values()))
    assert sorted(places.tolist()) == list(range(96))
    assert found.labels[found.splits["train"]].bincount().min() >= 5
    two = TypeAdapter(choice("dataset")).validate_python({"name": "stand_in", "classes": 2}).build(None)
    assert set(two.labels.tolist()) == {0, 1}
