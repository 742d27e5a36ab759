"""The grid: which points a study asks for, what they are called, and which of them are one run."""

import json

import pytest

from espalier.plan import manifest, model_counts
from espalier.plan.build import build
from espalier.plan.grid import label
from espalier.results.format.notices import notices

BASE = "title: a study\ndataset: digits\nmodel: resnet\n"


@pytest.fixture
def plan(tmp_path):
    def planned(*texts, **overrides):
        for index, text in enumerate(texts):
            (tmp_path / f"s{index}.yaml").write_text(BASE + text)
        return build([f"s{index}" for index in range(len(texts))], tmp_path, overrides)

    return planned


def test_columns_have_no_part_in_the_name_of_a_table(plan):
    told = "tables: [{name: best, count: 3, columns: [n, epochs]}, summary]\n"
    tables = manifest.manifest(plan(told).studies["s0"])["tables"]
    assert [one["key"] for one in tables] == ["best-3", "summary"] and tables[0]["columns"] == ["n", "epochs"]


def settings(plan, *paths):
    """The values at key paths of every point of the first study."""
    points = manifest.manifest(plan.studies["s0"])
    runs = points["runs"]
    return [tuple(runs[point["runs"]["train"]]["settings"].get(path) for path in paths) for point in points["points"]]


def test_a_study_without_a_grid_is_one_point(plan):
    assert plan("").summary().endswith("3 unique after sharing (prepare 1, train 1, evaluate 1)")


def test_product_is_every_combination(plan):
    found = settings(
        plan("grid: {product: {train.epochs: [1, 2], train.batch_size: [8, 16]}}\n"), "train.epochs", "train.batch_size"
    )
    assert sorted(found) == [(1, 8), (1, 16), (2, 8), (2, 16)]


def test_zip_varies_together_and_multiplies_with_product(plan):
    text = "grid: {zip: {train.epochs: [1, 2], train.batch_size: [8, 16]}, product: {model: [resnet, lenet]}}\n"
    found = settings(plan(text), "train.epochs", "train.batch_size", "model.name")
    assert sorted(found) == [(1, 8, "lenet"), (1, 8, "resnet"), (2, 16, "lenet"), (2, 16, "resnet")]


def test_points_are_an_explicit_list(plan):
    text = "grid: {points: [{train.epochs: 1}, {train.epochs: 2, model: {name: resnet, blocks: [1], channels: [4]}}]}\n"
    found = settings(plan(text), "train.epochs", "model.channels")
    assert found == [(1, [16, 32, 64]), (2, [4])]


def test_blocks_are_joined_and_their_common_point_runs_once(plan):
    text = "grid:\n- product: {train.epochs: [10, 2]}\n- product: {train.batch_size: [128, 16]}\n"
    assert sorted(settings(plan(text), "train.epochs", "train.batch_size")) == [(2, 128), (10, 16), (10, 128)]


@pytest.mark.parametrize("wanted", ["adam", "{name: adam}", "[adam, adamw]", "ADAM"])
def test_exclude_matches_by_name_value_list_and_label(plan, wanted):
    text = (
        "grid:\n  product: {train.optimizer: {SGD: sgd, ADAM: adam}, train.batch_size: [8, 16]}\n"
        f"  exclude: [{{train.optimizer: {wanted}, train.batch_size: 8}}]\n"
    )
    found = settings(plan(text), "train.optimizer.name", "train.batch_size")
    assert sorted(found) == [("adam", 16), ("sgd", 8), ("sgd", 16)]


def test_when_batch_size_64_only_for_adam(plan):
    text = (
        "grid:\n  product: {train.optimizer: [sgd, adam], train.batch_size: [32, 64]}\n"
        "  when: [{if: {train.batch_size: 64}, then: {train.optimizer: adam}}]\n"
    )
    found = settings(plan(text), "train.optimizer.name", "train.batch_size")
    assert sorted(found) == [("adam", 32), ("adam", 64), ("sgd", 32)]


def test_conditions_see_defaults_that_nobody_wrote(plan):
    text = (
        "grid:\n  product: {train.batch_size: [64, 128]}\n  exclude: [{train.precision: fp32, train.batch_size: 128}]\n"
    )
    assert settings(plan(text), "train.batch_size") == [(64,)]


def test_a_condition_on_a_tuple_compares_it_whole(plan):
    text = "grid:\n  product: {augment: [[], [pad_crop]]}\n  exclude: [{augment: [pad_crop]}]\n"
    assert settings(plan(text), "augment") == [([],)]


def test_budgets_on_settings(plan):
    text = "grid: {product: {train.batch_size: [8, 16, 32]}}\n"
    text += "constraints: [train.batch_size >= 1e1, train.batch_size != 32]\n"
    assert settings(plan(text), "train.batch_size") == [(16,)]


def test_a_budget_leaves_points_without_its_key_alone(plan):
    text = "grid: {product: {train.optimizer: [adam, sgd, {name: sgd, momentum: 0.5}]}}\n"
    text += "constraints: [train.optimizer.momentum < 0.8]\n"
    found = settings(plan(text), "train.optimizer.name", "train.optimizer.momentum")
    assert sorted(found) == [("adam", None), ("sgd", 0.5)]


def test_budgets_on_parameters_come_from_the_cached_table(plan, tmp_path, monkeypatch, capsys, counted_elsewhere):
    monkeypatch.setattr(model_counts, "CACHE", tmp_path / "counts.json")
    text = (
        "grid: {product: {model.channels: [[4, 8], [64, 128]], model.blocks: [[1, 1]]}}\nconstraints: [params < 5e3]\n"
    )
    assert settings(plan(text), "model.channels") == [([4, 8],)]
    assert capsys.readouterr().err.startswith("2 networks are counted, once: ")
    table = json.loads((tmp_path / "counts.json").read_text())
    assert len(table) == 2
    # Conv 1→4, 4→4 twice, 4→8 and 8→8, shortcut 4→8, two parameters a BatchNorm channel, classifier 8→10.
    assert min(row["params"] for row in table.values()) == 36 + 288 + 288 + 576 + 32 + 2 * (4 * 3 + 8 * 3) + 90
    monkeypatch.setattr(model_counts, "_counted", lambda asked: pytest.fail("the table was not used"))
    assert settings(plan(text), "model.channels") == [([4, 8],)]
    assert not capsys.readouterr().err


def test_repeats_are_seeds(plan):
    assert settings(plan("repeats: 3\nseed: 5\n"), "seed") == [(5,), (6,), (7,)]


def test_labels_are_the_users_or_readable(plan):
    text = (
        "augment: [pad_crop]\ngrid:\n"
        "- product: {model: {small: {name: resnet, blocks: [1], channels: [4]}, LeNet: lenet}}\n"
        "- product: {augment: [[], [pad_crop, cutout]], train.clip_norm: [null, 0.5]}\n"
        "- points: [{train.optimizer: {name: adam, lr: 1e-2, beta1: 0.8}}]\n"
    )
    points = plan(text).studies["s0"].points
    labels = {axis: [point.labels[axis] for point in points] for axis in points[0].labels}
    assert labels["model"][:3] == ["small", "LeNet", "resnet"]
    assert set(labels["augment"]) == {"pad_crop", "none", "pad_crop+cutout"}
    assert set(labels["train.clip_norm"]) == {"none", "0.5"}
    assert labels["train.optimizer"][-1] == "adam lr=0.01 beta1=0.8"


def test_the_baseline_is_the_study_without_its_grid(plan):
    text = "grid:\n- product: {model: {ours: resnet, LeNet: lenet}}\n- product: {train.epochs: [10, 3]}\n"
    assert plan(text).studies["s0"].baseline == {"model": "ours", "train.epochs": "10"}


def test_an_axis_inside_another_is_set_after_it(plan):
    text = "grid: {product: {train.optimizer.lr: [0.5], train.optimizer: [sgd, adam]}}\n"
    assert sorted(settings(plan(text), "train.optimizer.name", "train.optimizer.lr")) == [("adam", 0.5), ("sgd", 0.5)]


def test_overrides_are_typed_and_keep_the_rest(plan):
    text = "train: {batch_size: 32, optimizer: {name: sgd, momentum: 0.5}}\n"
    overridden = plan(text, repeats=2, train={"epochs": "3", "optimizer": {"lr": "1e-3"}}, augment=["pad_crop"])
    found = settings(overridden, "train.epochs", "train.batch_size", "train.optimizer.lr", "train.optimizer.momentum")
    assert found == [(3, 32, 0.001, 0.5)] * 2


def test_overrides_stand_in_the_manifest_and_are_noticed_but_for_the_scale(plan):
    overrides = {"repeats": 2, "scale": "smoke", "train": {"epochs": "3"}}
    ((found,), (plain,)) = (map(manifest.manifest, plan("", **given).studies.values()) for given in (overrides, {}))
    assert (found["overrides"], plain["overrides"]) == (overrides | {"train": {"epochs": 3}}, {})
    said = 'Not the study as its file has it: repeats = 2, train = {"epochs": 3} (config/config.yaml or --config).'
    assert said in notices(found) and notices(plain) == []


def test_overrides_can_remove(plan):
    assert settings(plan("train: {clip_norm: 1.0}\n", train={"clip_norm": "null"}), "train.clip_norm") == [(None,)]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1e9, "1e9"),
        (1e-9, "1e-9"),
        (2.5e10, "2.5e10"),
        (123456789.0, "123456789"),
        (0.05, "0.05"),
        (1.0, "1.0"),
        (64, "64"),
    ],
)
def test_a_number_is_labelled_as_people_write_it(value, shown):
    assert label(value) == shown and float(shown) == value
