"""Pruning in the plan: one trained parent for every way to prune it, and mistakes before anything is trained."""

import pytest

from espalier.networks.count_networks import count
from espalier.plan import model_counts
from espalier.settings.problems import StudyError
from support.written_studies import planner

GOOD = "title: a study\ndataset: digits\nmodel: {name: resnet, blocks: [1, 1], channels: [8, 16]}\n"
GRID = """grid:
  - {}
  - product:
      prune: {weights: magnitude, channels: structured}
      prune.ratio: [0.3, 0.5]
      control: {pruned: null, chance: random}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(model_counts, "CACHE", tmp_path / "counts.json")


def planned(tmp_path, text):
    return planner(tmp_path)(GOOD + text)


def test_every_point_starts_from_the_one_parent(tmp_path):
    plan = planned(tmp_path, GRID + "repeats: 2\n")
    assert {stage: len(runs) for stage, runs in plan.runs.items() if runs} == {
        "prepare": 1,
        "train": 2,
        "prune": 16,
        "evaluate": 18,
    }
    trained = set(plan.runs["train"].values())
    assert {run.parent for run in plan.runs["prune"].values()} == trained
    first = plan.studies["s"].points[0]
    assert "prune" not in first.runs, "a point without pruning has no such stage"
    assert first.labels == {"prune": "none", "prune.ratio": "–", "control": "–"}
    last = plan.studies["s"].points[-1]
    assert last.labels == {"prune": "channels", "prune.ratio": "0.5", "control": "chance"}
    assert "-random-" in last.runs["prune"].name


def test_keys_of_fine_tuning_belong_to_the_pruned_runs_alone(tmp_path):
    one = planned(tmp_path, GRID)
    other = planned(tmp_path, GRID + "fine_tune: {epochs: 9}\n")
    assert one.runs["train"].keys() == other.runs["train"].keys()
    assert not one.runs["prune"].keys() & other.runs["prune"].keys()


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("prune: {name: structured, ratio: 1.0}\n", "prune.ratio", "expected a number less than 1"),
        ("prune: {name: magnitude, ratio: 0}\n", "prune.ratio", "expected a number greater than 0"),
        ("prune: magnitud\n", "prune", "did you mean 'magnitude'?"),
        ("prune: {name: structured, ratio: 0.95}\n", "prune", "ratio"),
        ("prune: {name: structured, ratio: 0}\n", "prune.ratio", "give a higher ratio, or a head_ratio"),
        ("prune: {name: iterative, allocation: gaussian}\n", "prune.allocation", "set scope to layer"),
        ("prune: {name: gradual, allocation: sensitivity}\n", "prune.allocation", "sensitivity"),
        ("control: random\n", "control", "nothing is pruned; set prune"),
        ("prune: iterative\ncontrol: scratch\n", "control", "a size known before training"),
        ("prune: gradual\nfine_tune: {epochs: 0}\n", "fine_tune.epochs", "prunes while it trains"),
        ("prune: gradual\nfine_tune: {early_stopping: {patience: 2}}\n", "fine_tune.early_stopping", "leave it out"),
        (
            "prune: {name: structured, scope: global}\nconstraints: [params < 1e6]\n",
            "constraints",
            "depends on its trained weights; use scope: local",
        ),
    ],
)
def test_a_mistake_is_told_before_any_training(text, key, message, tmp_path):
    with pytest.raises(StudyError) as error:
        planned(tmp_path, text)
    found = [problem for problem in error.value.problems if problem.key == key]
    assert found, str(error.value)
    assert message in str(error.value)


def test_heads_that_cannot_be_removed_are_told_at_any_scope(tmp_path):
    cut = "{name: structured, head_ratio: 0.6, scope: global}"
    with pytest.raises(StudyError) as error:
        planned(tmp_path, f"grid: {{product: {{model: [resnet, cvt], prune: [{cut}]}}}}\n")
    assert [problem.key for problem in error.value.problems] == ["prune", "prune"]
    assert "it has no attention heads for head_ratio 0.6 to remove" in str(error.value)
    assert "would leave none of blocks.0.attention.qkv's 2 heads; give a lower one" in str(error.value)


def test_the_plan_counts_the_network_without_its_heads():
    whole, pruned = (count("cvt", 10, 16, 1, cut) for cut in (None, {"ratio": 0.0, "head_ratio": 0.5}))
    # Each of two layers loses one of two heads of 64 dimensions: 3 · 64 outputs, and 64 inputs of the projection.
    assert whole["params"] - pruned["params"] == 2 * (3 * 64 * 128 + 64 * 128)
    assert pruned["macs"] < whole["macs"]


def test_a_budget_is_met_by_the_pruned_network(tmp_path):
    text = "grid: {product: {prune: [structured], prune.ratio: [0.1, 0.5]}}\n"
    sizes = {
        run.spec.prune.ratio: row["params"]
        for run in planned(tmp_path, text).runs["prune"].values()
        for row in model_counts.counts([model_counts.Network(run.parent.spec.model, 10, 16, 1, run.spec.prune)])
    }
    (whole,) = model_counts.counts(
        [model_counts.Network(next(iter(planned(tmp_path, text).runs["train"].values())).spec.model, 10, 16, 1)]
    )
    assert sizes[0.5] < 0.3 * whole["params"] < sizes[0.1] < whole["params"]
    budget = (sizes[0.1] + sizes[0.5]) // 2
    plan = planned(tmp_path, text + f"constraints: [params < {budget}]\n")
    assert [run.spec.prune.ratio for run in plan.runs["prune"].values()] == [0.5]
