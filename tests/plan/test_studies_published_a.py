"""The studies after "lightweight-cnn-pruning" and "resnet44-5m": what they run, and which published row is of which."""

import csv
from functools import cache
from pathlib import Path

import pytest

from espalier.plan import model_counts, published_numbers
from espalier.plan.build import build

ROOT = Path(__file__).parents[2]
# configurations, training runs, pruning runs, data sets
SIZES = {
    "lightweight-zoo": (21, 21, 0, 1),
    "densenet-tuning": (25, 25, 0, 1),
    "densenet-pruning": (13, 4, 10, 2),
    "cct-tuning": (52, 52, 0, 1),
    "cct-shrinking": (37, 28, 17, 1),
    "food101-baselines": (26, 26, 0, 1),
    "resnet-5m": (259, 259, 0, 1),
}
FILES = [
    ("lightweight-zoo", "zoo_cifar10", 21),
    ("densenet-tuning", "densenet121_tuning_food101", 27),
    ("densenet-pruning", "densenet121_pruning_food101", 10),
    ("densenet-pruning", "densenet121_retest_food101", 2),
    ("cct-tuning", "cct6_3x1_tuning_food101", 52),
    ("cct-shrinking", "cct_shrinking_food101", 20),
]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.chdir(ROOT)


@cache
def planned(name):
    return build([name], Path("config/studies"))


def points(name):
    return planned(name).studies[name].points


def met(study, file):
    """Each published row with the points that it is of."""
    rows = published_numbers.rows(file)
    named = published_numbers.keys(rows[0], planned(study).studies[study].axes)
    assert named
    for row in rows:
        wanted = {axis: row[column] for column, axis in named.items()}
        found = [
            p for p in points(study) if all(published_numbers.meets(cell, p.labels[a]) for a, cell in wanted.items())
        ]
        yield row, found


def network(point):
    train, prune = point.runs["train"].spec, point.runs.get("prune")
    dataset = point.runs["prepare"].spec.dataset
    classes = {"food101": 101, "cifar10": 10}[dataset.name]
    return model_counts.Network(train.model, classes, dataset.image_size, 3, prune.spec.prune if prune else None)


def params(found):
    return [row["params"] for row in model_counts.counts(network(point) for point in found)]


# Counting the networks of these takes as long as those of all others.
SLOW = ("cct-shrinking", "densenet-pruning")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in SIZES]
)
def test_a_study_runs_what_the_report_ran(name):
    configurations, train, prune, prepare = SIZES[name]
    plan = planned(name)
    assert plan.studies[name].study.repeats == 1
    assert len(points(name)) == configurations
    asked = {stage: len(runs) for stage, runs in plan.runs.items() if runs}
    wanted = {"prepare": prepare, "train": train, "prune": prune, "evaluate": configurations}
    assert asked == {stage: n for stage, n in wanted.items() if n}


@pytest.mark.parametrize(("study", "file", "count"), FILES)
def test_every_published_row_is_of_one_configuration(study, file, count):
    rows = list(met(study, file))
    assert len(rows) == count
    assert {len(found) for _, found in rows} == {1}


@pytest.mark.parametrize(("study", "file"), [("densenet-tuning", FILES[1][1]), ("cct-tuning", FILES[4][1])])
def test_every_tuned_configuration_is_published(study, file):
    named = {id(found[0]) for _, found in met(study, file)}
    assert named == {id(point) for point in points(study)}


def test_two_settings_of_the_tuning_were_published_twice():
    named = [id(found[0]) for _, found in met("densenet-tuning", "densenet121_tuning_food101")]
    assert sorted(named.count(one) for one in set(named)) == [1] * 23 + [2] * 2


def test_the_pruning_has_nine_equal_ratios_in_two_phases_of_fifty_epochs():
    official = [point for point in points("densenet-pruning") if point.labels["dataset.split"] == "official"]
    pruned = [point.runs["prune"].spec for point in official if "prune" in point.runs]
    ratios = [(spec.prune.zeroed, spec.prune.ratio) for spec in pruned]
    assert ratios == [(part / 10, part / 10) for part in range(1, 10)]
    assert {spec.fine_tune.epochs for spec in pruned} == {50}
    trained = {point.runs["train"].id for point in official if "prune" in point.runs}
    assert len(trained) == 1, "one network is trained, and pruned nine times"


def test_the_pruned_networks_have_the_published_sizes():
    for row, found in met("densenet-pruning", "densenet121_pruning_food101"):
        size = params(found)[0]
        assert row["params"] in (f"{size / 1e6:.2f}M", f"{size / 1e3:.0f}K")
    sizes = [params(found)[0] for _, found in met("densenet-pruning", "densenet121_retest_food101")]
    assert sizes == [1_035_653, 497_620]


def test_twenty_transformers_are_built_to_size_and_seventeen_of_them_are_cut_to_it():
    rows = list(met("cct-shrinking", "cct_shrinking_food101"))
    sizes = [int(row["params"]) for row, _ in rows]
    assert params([found[0] for _, found in rows]) == sizes
    assert all("prune" not in found[0].runs for _, found in rows)
    pruned = [point for point in points("cct-shrinking") if "prune" in point.runs]
    small = [size for (row, _), size in zip(rows, sizes, strict=True) if int(row["dim"]) < 256]
    assert sorted(params(pruned)) == sorted(small)
    for point in pruned:
        epochs = point.runs["train"].spec.train.epochs + point.runs["prune"].spec.fine_tune.epochs
        assert epochs == rows[0][1][0].runs["train"].spec.train.epochs


def test_the_grid_of_256_and_its_designs_keep_the_budget():
    found = points("resnet-5m")
    sizes = params(found)
    assert max(sizes) < 5_000_000
    by_label = {point.labels["model"]: size for point, size in zip(found, sizes, strict=True)}
    assert (by_label["first"], by_label["final"]) == (2_636_458, 4_985_390)
    assert 4.7e6 < by_label["second"] < 4.8e6
    settings = [point.runs["train"].spec.train for point in found if point.labels["model"] == "final"]
    trained = [(s.batch_size, s.scheduler.gamma, s.optimizer.weight_decay, s.scheduler.milestones) for s in settings]
    assert len(set(trained)) == len(trained) == 257
    assert [len(set(values)) for values in zip(*trained, strict=True)] == [4, 4, 4, 5]


def test_a_network_over_the_budget_is_left_out(tmp_path):
    text = Path("config/studies/resnet-5m.yaml").read_text()
    study = text.replace("final: resnet44_5m}", "final: {name: resnet44_5m, channels: [32, 64, 191]}}")
    assert study != text
    (tmp_path / "resnet-5m.yaml").write_text(study)
    found = build(["resnet-5m"], tmp_path).studies["resnet-5m"].points
    assert len(found) == 258
    assert "final" not in {point.labels["model"] for point in found}


def test_each_design_has_its_published_row():
    rows = list(met("resnet-5m", "resnet44_designs_cifar10"))
    assert [row["model"] for row, _ in rows] == ["first", "second", "final"]
    assert all(len(found) == 1 for _, found in rows)


@pytest.mark.parametrize("file", sorted({file for _, file, _ in FILES} | {"resnet44_designs_cifar10"}))
def test_published_numbers_are_percent_and_have_a_source(file):
    assert published_numbers.source(file).title
    with (ROOT / published_numbers.path(file)).open(newline="") as lines:
        values = [row.get("top1_pct") or row.get("experimental_top1_pct") for row in csv.DictReader(lines)]
    assert all(10 < float(value) < 100 for value in values if value)
