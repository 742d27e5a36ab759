"""The file that `evaluate: {predictions: true}` adds, against the metrics and the prepared file it stands beside."""

import csv
import json
import shutil

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from espalier.metrics.accuracy import score
from espalier.networks import artifact
from espalier.plan.build import build
from espalier.plan.runs import Run
from espalier.settings.registry import choice
from espalier.settings.words import parse
from espalier.stages import STAGES
from espalier.stages.frame.command_line import main
from support.data_samples import made
from support.sealed import seal

WANTED = "evaluate.predictions=true"


@pytest.fixture
def evaluated(tmp_path):
    """Evaluates a small network on 300 random images; gives the run's folder, its parent's and the prepared file."""
    data, parent, folder = (tmp_path / name for name in ("made-00.safetensors", "mlp-01", "mlp-02"))
    write(data, made(test=300, size=8), {"name": "made"})
    settings = TypeAdapter(choice("model")).validate_python({"name": "mlp", "hidden": [8]})
    torch.manual_seed(0)
    artifact.save(parent, settings.build(4, 8).state_dict(), settings, 4, 8)
    seal(parent, "train")

    def run(*words):
        main(["evaluate", str(folder), "--parents", str(parent), "--data", str(data), *words])
        return folder, parent, data

    return run


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_top1_counted_from_the_file_is_that_of_the_metrics(evaluated):
    folder, *_ = evaluated(WANTED)
    found = rows(folder / "predictions.csv")
    (metrics,) = rows(folder / "metrics.csv")
    right = sum(row["label"] == row["predicted"] for row in found)
    assert len(found) == int(metrics["images"]) == 300
    assert 0 < right < 300
    assert 100 * right / 300 == pytest.approx(float(metrics["test_top1"]), rel=1e-9)


def test_rows_are_the_images_of_the_test_split_by_their_place_in_the_source(evaluated):
    folder, _, data = evaluated(WANTED)
    found = rows(folder / "predictions.csv")
    prepared = Prepared.read(data, ("test",))
    assert [int(row["id"]) for row in found] == prepared.splits["test"].indices.tolist()
    dataset = made(test=300, size=8)
    assert [row["label"] for row in found] == [dataset.classes[dataset.labels[int(row["id"])]] for row in found]


def test_probabilities_are_the_network_s_to_six_digits_and_sum_to_one(evaluated):
    folder, parent, data = evaluated(WANTED)
    found = rows(folder / "predictions.csv")
    network = artifact.load(parent).model
    inputs = torch.cat([batch for batch, _ in Resident.load(data, splits=("test",)).batches("test", 7)])
    with torch.inference_mode():
        expected = network(inputs).double().softmax(1)
    classes = made().classes
    assert list(found[0]) == ["id", "label", "predicted", *(f"probability.{name}" for name in classes)]
    values = torch.tensor([[float(row[f"probability.{name}"]) for name in classes] for row in found]).double()
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(values.sum(1), torch.ones(300).double(), rtol=0, atol=3e-6)
    assert [row["predicted"] for row in found] == [classes[place] for place in values.argmax(1).tolist()]


def test_nothing_more_is_written_unless_asked_and_the_metrics_are_the_same(evaluated):
    folder, *_ = evaluated()
    assert not (folder / "predictions.csv").exists()
    assert json.loads((folder / "run.json").read_text())["predictions"] is None
    (plain,) = rows(folder / "metrics.csv")
    shutil.rmtree(folder)
    evaluated(WANTED)
    (asked,) = rows(folder / "metrics.csv")
    assert json.loads((folder / "run.json").read_text())["predictions"] == "predictions.csv"
    of_the_work = ("wall_s", "cpu_s", "peak_memory_mib")
    assert {key: value for key, value in plain.items() if key not in of_the_work} == {
        key: value for key, value in asked.items() if key not in of_the_work
    }


def test_what_is_handed_out_while_scoring_is_what_is_scored():
    """Also where outputs are tied, as of a network that has learned nothing."""
    outputs = torch.zeros(6, 3)
    labels, seen = torch.tensor([0, 1, 2, 0, 1, 2]), []
    found = score(nn.Identity(), zip(outputs.split(4), labels.split(4), strict=True), lambda *batch: seen.append(batch))
    assert torch.equal(torch.cat([logits for logits, _ in seen]), outputs)
    predicted = torch.cat([guess for _, guess in seen])
    assert found["top1"] == pytest.approx(100 * (predicted == labels).double().mean().item())


def test_predictions_are_another_evaluation_of_the_same_network(tmp_path):
    text = "title: a study\ndataset: digits\nmodel: resnet\n"
    (tmp_path / "plain.yaml").write_text(text)
    (tmp_path / "asked.yaml").write_text(text + "evaluate: {predictions: true}\n")
    plan = build(["plain", "asked"], tmp_path)
    assert {stage: len(runs) for stage, runs in plan.runs.items() if runs} == {"prepare": 1, "train": 1, "evaluate": 2}
    plain, asked = (plan.studies[name].points[0].runs["evaluate"] for name in ("plain", "asked"))
    assert (plain.words, asked.words) == ([], [WANTED])


def test_a_study_that_says_no_has_the_evaluations_of_one_that_says_nothing():
    train = Run("train", parse(STAGES["train"].settings, ["model.name=resnet"]))
    said = Run("evaluate", parse(STAGES["evaluate"].settings, ["evaluate.predictions=false"]), train)
    assert said.id == Run("evaluate", parse(STAGES["evaluate"].settings, []), train).id == KNOWN


KNOWN = "1f8fa9c8b8"
