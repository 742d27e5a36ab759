"""Which trainings a plan warns of, and that no pace is made up."""

import json

import pytest

from espalier.plan import expensive_trainings, model_counts
from espalier.plan.build import build
from espalier.plan.expensive_trainings import Pace, Training
from support.sealed import seal

SMALL = Training("mlp × 20 epochs", 1e5, 1e5 * 50_000 * 20, 3)
LARGE = Training("resnet18 × 200 epochs", 5e8, 5e8 * 50_000 * 200, 2)


def test_hours_are_those_of_runs_of_such_a_size():
    # 5e15 MACs a run at 50 G MACs/s are 27.8 h.
    line = expensive_trainings.message([SMALL, LARGE], [Pace(4e8, 5e10, "cuda"), Pace(1e5, 1e9, "cuda")])
    assert line.startswith("warning: resnet18 × 200 epochs: about 28 h a run, 2 runs; all such trainings about 56 h")
    assert "measured: 50 GMACs/s on cuda, 1 run" in line and "another size" not in line


def test_what_was_not_measured_has_no_hours():
    line = expensive_trainings.message([SMALL, LARGE], [])
    assert "5 PMACs a run, 2 runs, 5e+04 times the 100 GMACs of mlp" in line and "about" not in line
    assert "no run here has measured" in line
    assert "and 3 runs of networks of another size" in expensive_trainings.message(
        [SMALL, LARGE], [Pace(5e8, 5e10, "cpu")]
    )


@pytest.mark.parametrize("trainings, known", [([], []), ([SMALL], []), ([SMALL], [Pace(1e5, 1e9, "cpu")])])
def test_what_is_cheap_is_no_matter(trainings, known):
    assert expensive_trainings.message(trainings, known) == ""


def test_a_run_of_seconds_tells_no_pace(tmp_path):
    for number, (wall, macs) in enumerate([(600.0, 1e6), (5.0, 1e6), (600.0, None)]):
        folder = tmp_path / f"net-{number:010x}"
        folder.mkdir()
        (folder / "metrics.csv").write_text("images_per_s,wall_s\n2000,1\n")
        seal(folder, "train", "0123456789", wall_s=wall, **({"macs": macs} if macs else {}))
    assert list(expensive_trainings.paces(tmp_path)) == [Pace(1e6, 2e9, "cpu")]
    assert list(expensive_trainings.paces(tmp_path / "nothing")) == []


def planned(tmp_path, text):
    (tmp_path / "one.yaml").write_text(text)
    plan = build(["one"], tmp_path)
    return [run for runs in plan.runs.values() for run in runs.values()]


def test_a_plan_tells_its_images_epochs_and_networks(tmp_path, monkeypatch):
    monkeypatch.setattr(model_counts, "CACHE", tmp_path / "counts.json")
    asked = []

    def counts(networks):
        asked.extend(networks)
        return [{"params": 1, "macs": 1e9 if network.model.name == "resnet" else 1e6} for network in asked]

    monkeypatch.setattr(model_counts, "counts", counts)
    text = "title: t\ndataset: cifar10\nmodel: {name: resnet, blocks: [1], channels: [4]}\ntrain: {epochs: 100}\n"
    line = expensive_trainings.warning(planned(tmp_path, f"{text}repeats: 3\n"), tmp_path / "runs")
    # 45,000 images of the train split are left for training.
    assert "× 100 epochs: 4.5 PMACs a run, 3 runs; how long" in line
    asked.clear()
    assert expensive_trainings.warning(planned(tmp_path, text.replace("cifar10", "digits")), tmp_path / "runs") == ""
    assert not asked, "what is never dear is not counted"


@pytest.mark.parametrize(
    "dataset, images",
    [
        ("cifar10", 45_000),
        ("{name: cifar10, fraction: 0.5, keep: [1, 2]}", 4_500),
        ("{name: stand_in, train: 64}", 64),
        ("{name: arrays, path: mine.npz, channels: 1, keep: [1, 2]}", 0),
    ],
)
def test_a_set_states_its_images(tmp_path, dataset, images):
    (prepare, *_) = planned(tmp_path, f"title: t\ndataset: {dataset}\nmodel: {{name: mlp}}\ntrain: {{epochs: 1}}\n")
    assert expensive_trainings._images(prepare) == pytest.approx(images)


def test_the_size_of_a_prepared_file_is_believed_before_what_its_set_states(tmp_path, monkeypatch):
    monkeypatch.setattr(expensive_trainings.header, "read", lambda path: {"sizes": {"train": 7}})
    (prepare, *_) = planned(tmp_path, "title: t\ndataset: cifar10\nmodel: {name: mlp}\ntrain: {epochs: 1}\n")
    monkeypatch.chdir(tmp_path)
    assert expensive_trainings._images(prepare) == 45_000
    (tmp_path / "results/data").mkdir(parents=True)
    (tmp_path / prepare.path).write_text(json.dumps({}))
    assert expensive_trainings._images(prepare) == 7
