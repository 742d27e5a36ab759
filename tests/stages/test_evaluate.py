"""What an evaluation writes beside its scores: numbers and tables of metrics, who was right, corrupted images."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from espalier.data.corruptions import corrupted
from espalier.data.prepared import Prepared, write
from espalier.data.resident import Resident
from espalier.data.sets.folder import folder as folder_data
from espalier.errors import Mistake
from espalier.metrics import correct, corrupted_scores, measures
from espalier.metrics.predictions import Predictions
from espalier.networks import artifact
from espalier.runs import record as records
from espalier.runs.columns import CORRUPTED
from espalier.settings.registry import choice
from espalier.settings.sections import Corruptions
from espalier.stages import STAGES
from espalier.stages.frame.command_line import main
from support.data_samples import made
from support.published_files import folder as images_of
from support.scripts_as_run import ENVIRONMENT, script
from support.sealed import seal

CHAIN = {"train": "mlp-01", "prune": "mlp-02"}
SOME = "evaluate.corruptions={names: [jpeg, shot_noise], strengths: [1, 4]}"


@pytest.fixture
def chain(tmp_path):
    """Evaluates a chain of two small networks on images; gives the run's record."""

    def run(*words, dataset=None, size=8):
        data = tmp_path / "made-00.safetensors"
        write(data, dataset or made(test=300, size=size), {"name": "made"})
        settings = TypeAdapter(choice("model")).validate_python({"name": "mlp", "hidden": [8]})
        classes = len(Prepared.read(data).classes)
        for number, (stage, name) in enumerate(CHAIN.items()):
            torch.manual_seed(number)
            model = settings.build(classes, size)
            artifact.save(tmp_path / name, model.state_dict(), settings, classes, size)
            seal(tmp_path / name, stage)
        parents = [str(tmp_path / name) for name in CHAIN.values()]
        main(["evaluate", str(tmp_path / "mlp-03"), "--parents", *parents, "--data", str(data), *words])
        return records.complete(tmp_path / "mlp-03")

    return run


def answered(record):
    """Probabilities, float64, and labels of the test split at the end of a chain."""
    data = Resident.load(record.folder.parent / "made-00.safetensors", splits=("test",))
    model = artifact.load(record.folder.parent / CHAIN["prune"]).model
    with torch.inference_mode():
        logits = torch.cat([model(batch) for batch, _ in data.batches("test", 256)])
    return logits.double().softmax(1).numpy(), data.splits["test"].labels.numpy()


def test_every_run_has_the_numbers_and_tables_of_the_defaults(chain):
    record = chain()
    tables = {"calibration.csv", "per_class.csv", "confusion.csv"}
    assert record.written.keys() == {*STAGES["evaluate"].written, *tables} - {records.FILE}
    found = {row["metric"]: float(row["value"]) for row in record.rows("test_metrics.csv")}
    expected = answered(record)
    assert found == pytest.approx(measures.nll(*expected) | measures.brier(*expected) | measures.ece(*expected))
    assert found["nll"] == pytest.approx(float(record.metrics["test_loss"]), rel=1e-5)
    classes = made().classes
    rows = record.rows("per_class.csv")
    assert [row["class"] for row in rows] == list(classes)
    own = measures.per_class(*expected)
    assert [float(row["recall"]) for row in rows] == pytest.approx([row["recall"] for row in own])
    right = sum(int(row["images"]) for row in record.rows("confusion.csv") if row["label"] == row["predicted"])
    assert 100 * right / 300 == pytest.approx(float(record.metrics["test_top1"]))
    assert record.metrics["mean_corruption_error"] == ""


def test_who_was_right_is_kept_image_by_image(chain):
    record = chain("evaluate.predictions=true", "evaluate.metrics=[]")
    predictions = record.rows("predictions.csv")
    assert correct.read(record).tolist() == [row["label"] == row["predicted"] for row in predictions]
    assert (record.folder / correct.FILE).stat().st_size == 38
    assert record.rows("test_metrics.csv") == [] and "confusion.csv" not in record.written


def test_networks_of_the_chain_are_scored_on_corrupted_images(chain):
    record = chain(SOME)
    rows = record.rows("corruptions.csv")
    assert tuple(rows[0]) == CORRUPTED and len(rows) == 2 * 2 * 2
    scores = {row["run"]: row["test_top1"] for row in record.rows("scores.csv")}
    for row in rows:
        assert float(row["clean_top1"]) == pytest.approx(float(scores[row["run"]])) and row["images"] == "300"
    (own,) = [
        float(row["top1"])
        for row in rows
        if (row["stage"], row["corruption"], row["strength"]) == ("prune", "shot_noise", "4")
    ]
    data = Resident.load(record.folder.parent / "made-00.safetensors", splits=("test",))
    test = data.splits["test"]
    model = artifact.load(record.folder.parent / CHAIN["prune"]).model.eval()
    with torch.inference_mode():
        guesses = model(data.inputs(corrupted(test.images, range(300), "shot_noise", 4))).argmax(1)
    assert own == pytest.approx(100 * (guesses == test.labels).double().mean().item())
    errors = [100 - float(row["top1"]) for row in rows if row["stage"] == "prune"]
    assert float(record.metrics["mean_corruption_error"]) == pytest.approx(np.mean(errors))


def test_fewer_images_are_drawn_once_and_are_the_same_ones_corrupted_alike(chain):
    assert (
        corrupted_scores.chosen_images(300, None).tolist()
        == corrupted_scores.chosen_images(300, 300).tolist()
        == list(range(300))
    )
    few = corrupted_scores.chosen_images(300, 50)
    assert len(set(few.tolist())) == 50 and few.tolist() == sorted(few.tolist())
    record = chain(SOME.replace("}", ", images: 50}"))
    data = Resident.load(record.folder.parent / "made-00.safetensors", splits=("test",))
    model = artifact.load(record.folder.parent / CHAIN["train"]).model
    asked = Corruptions(names=("jpeg", "shot_noise"), strengths=(1, 4), images=50)
    network = (model, {"stage": "train"}, False)
    again = list(corrupted_scores.rows([network], data.splits["test"], data.inputs, asked, 7))
    rows = [row for row in record.rows("corruptions.csv") if row["stage"] == "train"]
    assert [(float(row["clean_top1"]), float(row["top1"])) for row in rows] == [
        (row["clean_top1"], row["top1"]) for row in again
    ]
    assert {row["images"] for row in rows} == {"50"}


def test_files_of_images_are_named_below_their_folder(chain, tmp_path):
    root = images_of(tmp_path / "images", ("ash", "beech"), each=20, side=8)
    dataset = folder_data(None, path=str(root), image_size=8)
    record = chain("evaluate.predictions=true", dataset=dataset)
    rows = record.rows("predictions.csv")
    assert list(rows[0])[:4] == ["id", "file", "label", "predicted"]
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.png"))]
    assert [row["file"] for row in rows] == [names[int(row["id"])] for row in rows]
    assert all(row["file"].startswith(f"{row['label']}/") for row in rows)
    assert Prepared.read(tmp_path / "made-00.safetensors").splits["validation"].files == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate.metrics=[ecce]", "evaluate.metrics.0: unknown name 'ecce'; did you mean 'ece'?"),
        ("evaluate.metrics=[ece, {name: ece, bins: 5}]", "evaluate.metrics: ece is named twice; name it once"),
        ("evaluate.corruptions={names: []}", "evaluate.corruptions.names: nothing is named"),
        (
            "evaluate.corruptions={strengths: [6]}",
            "evaluate.corruptions.strengths.0: found 6, expected 1, 2, 3, 4 or 5",
        ),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(chain, words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        chain(words)
    assert ended.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "evaluate." in line]
    assert message in line


MINE = '''import numpy as np
from espalier.settings.registry import register
from espalier.settings.types import Fraction


@register("metric")
def sure(probabilities, labels, *, least: Fraction = 0.5):
    """Images that are answered with a probability of this much, in percent.

    Args:
        least: smallest probability
    """
    return {"sure": 100 * np.mean(probabilities.max(axis=1) >= least)}


@register("metric", columns=("class", "mean"))
def mean_probability(probabilities, labels):
    """Mean probability of every class."""
    return [{"class": number, "mean": value} for number, value in enumerate(probabilities.mean(axis=0))]
'''


def test_metrics_of_a_plugin_are_measured(chain, tmp_path):
    """In a process of its own, since the registries are read once."""
    record, folder = chain(), tmp_path / "mlp-04"
    (tmp_path / "mine.py").write_text(MINE)
    parents = [tmp_path / name for name in CHAIN.values()]
    words = script("evaluate", folder, "--parents", *parents, "--data", tmp_path / "made-00.safetensors")
    words.append("evaluate.metrics=[{name: sure, least: 0.3}, mean_probability]")
    environment = ENVIRONMENT | {"ESPALIER_PLUGINS": str(tmp_path / "mine.py")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = records.complete(folder)
    probabilities, _ = answered(record)
    (row,) = found.rows("test_metrics.csv")
    assert row["metric"] == "sure" and float(row["value"]) == pytest.approx(100 * (probabilities.max(1) >= 0.3).mean())
    rows = found.rows("mean_probability.csv")
    assert {row["class"]: float(row["mean"]) for row in rows} == pytest.approx(
        dict(zip(made().classes, probabilities.mean(0), strict=True))
    )


def metric(name, found, **facts):
    """A chosen metric that gives what it is told to."""
    return SimpleNamespace(name=name, build=lambda *_: found, entry=lambda: SimpleNamespace(facts=facts))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([metric("rows", [{"a": 1}])], "rows gives no numbers by name; one that gives rows names their columns"),
        ([metric("one", {"x": 1.0}), metric("two", {"x": 2.0})], "two gives x, as one before it; leave one out"),
    ],
)
def test_what_a_metric_gives_wrong_is_told(metrics, message, tmp_path):
    write(tmp_path / "made.safetensors", made(), {"name": "made"})
    split = Prepared.read(tmp_path / "made.safetensors", ("test",)).splits["test"]
    predictions = Predictions(split, made().classes)
    predictions.add(torch.zeros(7, 4), torch.zeros(7, dtype=torch.int64))
    with pytest.raises(Mistake, match=message):
        predictions.write_measured(tmp_path, "test_metrics.csv", metrics)


def test_logits_that_are_not_finite_are_told_where_they_are_measured(tmp_path):
    write(tmp_path / "made.safetensors", made(), {"name": "made"})
    predictions = Predictions(Prepared.read(tmp_path / "made.safetensors", ("test",)).splits["test"], made().classes)
    predictions.add(torch.full((7, 4), torch.nan), torch.zeros(7, dtype=torch.int64))
    with pytest.raises(Mistake, match=r"NaN or infinite logits; evaluate\.metrics: \[\] scores the network without"):
        predictions.write_measured(tmp_path, "test_metrics.csv", [metric("one", {"x": 1.0})])
    assert predictions.write_measured(tmp_path, "test_metrics.csv", []) == ()


def test_a_metric_cannot_write_over_a_file_of_the_stage():
    settings = SimpleNamespace(evaluate=SimpleNamespace(metrics=[metric("scores", [], columns=("a",))]))
    ((path, message),) = STAGES["evaluate"].misfits(settings)
    assert path == "evaluate.metrics" and message.startswith("scores.csv is a file that means something else")
