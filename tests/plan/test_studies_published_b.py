"""The studies of "Pipeline Report", "ResNet under 5 million Parameters", the MobileNetV2 assignment, small files.

Their numbers of runs are those of the reports, and every published row has a configuration.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from espalier.plan import manifest, published_numbers
from espalier.plan.build import build

ROOT = Path(__file__).parents[2]
RUNS = {
    # Sweep 32, extended run, up-sampled network.
    "cifar100-sweep": (34, {"prepare": 1, "train": 34, "evaluate": 34}),
    # Rows 9, one of them twice; beside row 1 augmentations 2, blocks 3, channels 4, optimizers 2, schedules 1,
    # kernels 2, kernels of the shortcut 1, pooling 3, activations 3.
    "res24-grid": (31, {"prepare": 1, "train": 31, "evaluate": 31}),
    "mobilenetv2-compression": (
        6,
        {"prepare": 1, "train": 1, "prune": 1, "quantize": 2, "export": 2, "encode": 4, "evaluate": 6},
    ),
    # Two networks before, three pruned ones, each coded too, of five seeds.
    "deep-compression": (40, {"prepare": 1, "train": 10, "prune": 10, "quantize": 20, "encode": 20, "evaluate": 40}),
    # The network before, two sizes of file, three widths.
    "resnet20-cifar10": (6, {"prepare": 1, "train": 1, "quantize": 5, "encode": 5, "evaluate": 6}),
}


@pytest.fixture(scope="module")
def plans():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return {name: build([name], Path("config/studies")) for name in RUNS}


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.chdir(ROOT)


def settings(plans, name, stage):
    return [run.spec for run in plans[name].runs[stage].values()]


@pytest.mark.parametrize("name", RUNS)
def test_the_plan_has_the_runs_of_the_report(plans, name):
    configurations, stages = RUNS[name]
    assert len(plans[name].studies[name].points) == configurations
    assert {stage: len(runs) for stage, runs in plans[name].runs.items() if runs} == stages
    assert plans[name].studies[name].study.repeats == (5 if name == "deep-compression" else 1)


def test_the_sweep_is_every_combination_of_five_factors(plans):
    runs = settings(plans, "cifar100-sweep", "train")
    swept = [run for run in runs if run.train.epochs == 50 and run.train.early_stopping.patience == 3]
    assert len(swept) == 32
    for factor in (
        lambda run: run.model.name,
        lambda run: run.augment[-1].name,
        lambda run: run.train.optimizer.name,
        lambda run: run.train.optimizer.lr,
        lambda run: run.train.scheduler.name,
    ):
        assert sorted(Counter(map(factor, swept)).values()) == [16, 16]
    assert {run.train.batch_size for run in runs} == {256}
    assert {run.train.optimizer.weight_decay for run in swept} == {1e-3}
    # Only what ImageNet weights are published of starts from them.
    assert all(run.pretrained == (run.model.name == "resnet_imagenet") for run in runs)


def test_two_more_runs_follow_the_sweep(plans):
    runs = settings(plans, "cifar100-sweep", "train")
    (extended,) = (run for run in runs if run.train.epochs == 100)
    assert (extended.model.name, extended.train.optimizer.name, extended.train.optimizer.lr) == (
        "preact_resnet",
        "sgd",
        0.01,
    )
    (larger,) = (run for run in runs if getattr(run.model, "upsample", 0))
    assert (larger.model.upsample, larger.pretrained, larger.train.early_stopping.patience) == (224, True, 15)
    assert (larger.train.optimizer.lr, larger.train.optimizer.weight_decay) == (1e-3, 1e-4)


def test_nine_rows_stand_as_table_5_prints_them(plans):
    rows = published_numbers.rows("res24_grid_cifar10")
    # Row 7 as printed, and as in the notebook that has its number of parameters.
    assert [int(row["row"]) for row in rows] == [1, 2, 3, 4, 5, 6, 7, 7, 8, 9]
    # A row is one configuration, and no two are the same.
    found = [matches(plans, "res24-grid", row) for row in rows]
    assert [len(points) for points in found] == [1] * 10
    assert len({id(points[0]) for points in found}) == 10


@pytest.mark.parametrize(
    ("file", "axis", "count"),
    [
        ("res24_augmentations_cifar10", "augment", 3),
        ("res24_blocks_cifar10", "model.blocks", 4),
        ("res24_channels_cifar10", "model.channels", 4),
        ("res24_optimizers_cifar10", "train.optimizer", 4),
    ],
)
def test_a_comparison_differs_from_row_1_in_what_it_names(plans, file, axis, count):
    baseline = plans["res24-grid"].studies["res24-grid"].baseline
    rows = published_numbers.rows(file)
    assert len(rows) == count
    named = {"row", "top1_pct"}
    changed = Counter(key for row in rows for key in row if key not in named and row[key] != baseline[key])
    other = {"train.optimizer": "train.scheduler", "model.channels": "model.blocks"}.get(axis)
    assert set(changed) == {axis, *([other] if other else [])}
    assert changed[other] == (1 if other else 0)


def test_pruning_stops_on_validation_and_every_setting_of_widths_is_scored(plans):
    (pruned,) = settings(plans, "mobilenetv2-compression", "prune")
    assert (pruned.prune.name, pruned.prune.ratio, pruned.prune.scope) == ("iterative", 0.2, "global")
    assert pruned.prune.accuracy_floor is None, "94 % is a number of the test split"
    assert pruned.prune.max_drop == pytest.approx(94.87 - 94.00)
    quantized = settings(plans, "mobilenetv2-compression", "quantize")
    assert {run.quantize.scheme.name for run in quantized} == {"calibrated", "naive"}
    for run in quantized:
        assert len(run.quantize.weight_bits) * len(run.quantize.activation_bits) == 36
    assert len(settings(plans, "mobilenetv2-compression", "export")) == len(quantized)


@pytest.mark.parametrize("name", RUNS)
def test_every_published_row_is_of_a_configuration(plans, name):
    tables = [table for table in plans[name].studies[name].study.tables if table.name == "published"]
    assert tables
    for table in tables:
        rows = published_numbers.rows(table.file)
        assert rows
        assert published_numbers.source(table.file).title
        for row in rows:
            assert matches(plans, name, row), row
            assert 0 < float(row["top1_pct"]) < 100


def test_what_is_compared_with_deep_compression_is_its_networks_on_real_images_by_validation(plans):
    points = plans["deep-compression"].studies["deep-compression"].points
    specs = {point.labels["model"]: point.runs["train"].spec for point in points}
    assert {name: spec.model.name for name, spec in specs.items()} == {"LeNet-300-100": "mlp", "LeNet-5": "lenet"}
    assert specs["LeNet-300-100"].model.hidden == (300, 100)
    assert (specs["LeNet-5"].model.filters, specs["LeNet-5"].model.hidden) == ((20, 50), (500,))
    assert {point.labels.get("protocol", "clean") for point in points} == {"clean"}
    (data,) = settings(plans, "deep-compression", "prepare")
    assert (data.dataset.name, data.dataset.fraction, round(60_000 * data.dataset.validation)) == ("mnist", 1.0, 5_000)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("report-*.md")), ids=lambda page: page.stem)
def test_a_page_names_tables_and_figures_that_its_studies_make(page):
    text = page.read_text()
    names = list(dict.fromkeys(re.findall(r"--config studies=([\w-]+)", text)))
    made = set()
    for study in build(names, Path("config/studies")).studies.values():
        found = manifest.manifest(study)
        made |= {item["key"] for part in ("tables", "figures") for item in found[part]}
    rows = re.findall(r"^\| .* \|$", text, re.MULTILINE)
    head = next(row for row in rows if "table or figure" in row)
    column = head.split(" | ").index("table or figure")
    claims = [row for row in rows if row != head and len(row.split(" | ")) == len(head.split(" | "))]
    told = [name for row in claims for name in re.findall(r"`([^`]+)`", row.split(" | ")[column])]
    assert told
    assert [name for name in told if name not in made] == []


def matches(plans, name, row):
    """The points of a study that a published row is of."""
    planned = plans[name].studies[name]
    named = published_numbers.keys(row, planned.axes)
    widths = [width for width in published_numbers.WIDTHS if width in row and width not in named]
    return [
        point
        for point in planned.points
        if all(published_numbers.meets(row[column], point.labels[axis]) for column, axis in named.items())
        and (not widths or _scored(point, row, widths))
    ]


def _scored(point, row, widths):
    run = point.runs.get("quantize")
    return run is not None and all(int(row[width]) in getattr(run.spec.quantize, width) for width in widths)
