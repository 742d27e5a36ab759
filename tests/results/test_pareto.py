"""The Pareto front, and its place in the figures."""

import numpy as np
import pytest

from espalier.plan import published_numbers
from espalier.results.compare.costs import costs
from espalier.results.compare.pareto import front
from espalier.results.format import style
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput
from support import study_on_disk as disk

NAN = float("nan")


@pytest.mark.parametrize(
    ("cost", "value", "expected"),
    [
        ([1, 2, 3], [90, 95, 96], [True, True, True]),
        ([1, 2, 3], [90, 89, 96], [True, False, True]),
        # As good for less, and better for the same.
        ([1, 2], [90, 90], [True, False]),
        ([1, 1], [90, 91], [False, True]),
        # Equal points dominate one another not, wherever they stand; a third of the same cost is dominated.
        ([2, 1, 1, 1], [95, 90, 90, 89], [True, True, True, False]),
        ([1, NAN, 2], [90, 99, NAN], [True, False, False]),
        ([], [], []),
    ],
)
def test_dominated_points_ties_and_missing_ones(cost, value, expected):
    assert front(cost, value).tolist() == expected


def dominated(cost, value, i):
    """Straight from the definition."""
    return any(
        cost[j] <= cost[i] and value[j] >= value[i] and (cost[j], value[j]) != (cost[i], value[i])
        for j in range(len(cost))
    )


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_the_definition_in_any_order(seed):
    generator = np.random.default_rng(seed)
    # A coarse grid, so that there are ties of every kind.
    cost, value = generator.integers(0, 8, 40), generator.integers(0, 8, 40)
    expected = [not dominated(cost, value, i) for i in range(40)]
    assert front(cost, value).tolist() == expected
    order = generator.permutation(40)
    assert front(cost[order], value[order]).tolist() == [expected[i] for i in order]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root, study = tmp_path_factory.mktemp("study"), disk.pruned(disk.plan())
    disk.finish(root, study)
    for point in study["points"]:
        run = root / study["runs"][point["runs"]["train"]]["path"]
        (run / "model.safetensors").write_bytes(b"\0" * disk.AXES["model"][point["labels"]["model"]][0])
    return root, study


@pytest.fixture
def study(finished, monkeypatch):
    monkeypatch.chdir(finished[0])
    return finished[1]


def drawn(study, name, **settings):
    with style.applied():
        return StudyOutput("figure", name, name, settings).make(tidy.runs(study), tidy.history(study), study)


def rings(figure):
    """Points with a ring, in any order."""
    found = [line for line in figure.axes[0].lines if line.get_gid() in ("front", "ring")]
    found = [line for line in found if line.get_marker() == "o"]
    return sorted(map(tuple, np.concatenate([line.get_xydata() for line in found])))


COSTS = ("params", "macs", "nonzeros", "file_bytes", "latency_1", "latency_64")


@pytest.mark.parametrize(
    ("name", "x"), [*(("compression", x) for x in COSTS), *(("tradeoff", x) for x in (*COSTS, "train_time"))]
)
def test_the_front_of_the_means_is_ringed(study, name, x):
    figure = drawn(study, name, x=x)
    panel = figure.axes[0]
    gid = "configuration" if name == "tradeoff" else None
    points = [line for line in panel.lines if line.get_gid() == gid]
    points = np.concatenate([line.get_xydata() for line in points if line.get_marker() != "None"])
    assert len(points) >= 4
    expected = points[[not dominated(*points.T, i) for i in range(len(points))]]
    np.testing.assert_allclose(rings(figure), sorted(map(tuple, expected)))
    assert "Pareto" in StudyOutput("figure", name, name, {"x": x}).caption(study).whole()


@pytest.mark.parametrize("x", ["params", "file_bytes"])
def test_points_stand_at_their_costs(study, x):
    """Also those that coincide; nothing is moved aside, on the axis of a quantity."""
    figure = drawn(study, "tradeoff", x=x)
    panel = figure.axes[0]
    assert all(line.get_transform() == panel.transData for line in panel.lines)
    points = np.concatenate([line.get_xydata() for line in panel.lines if line.get_gid() == "configuration"])
    frame = tidy.runs(study)
    expected = costs(frame, study, x).groupby(frame["configuration"], sort=False).mean().dropna()
    ratios = np.sort(points[:, 0]) / np.sort(expected)
    np.testing.assert_allclose(ratios, ratios[0])
    assert len(set(points[:, 0])) < len(points)


def test_published_numbers_are_drawn_beside_ours_and_on_no_front(study, tmp_path, monkeypatch):
    monkeypatch.setattr(published_numbers, "FOLDER", tmp_path)
    rows = "name,top1_pct,params\nTheirs,99.5,50\nof no size,99,\n"
    (tmp_path / "nets.csv").write_text(rows)
    (tmp_path / "sources.csv").write_text("file,title,place,accuracy\nnets,A report,Table 1,test\n")
    asked = StudyOutput("figure", "tradeoff", "tradeoff", {"x": "params", "published": "nets"})
    with style.applied():
        alone = drawn(study, "tradeoff", x="params")
        figure = asked.make(tidy.runs(study), tidy.history(study), study)
        smoke = asked.make(tidy.runs(study), tidy.history(study), study | {"scale": "smoke"})
    theirs = [line for line in figure.axes[0].lines if line.get_gid() == "published"]
    assert [line.get_xydata().tolist() for line in theirs] == [[[50 / 1e3, 99.5]]]
    assert rings(figure) == rings(alone)
    assert "Theirs" in {text.get_text() for text in figure.axes[0].texts}
    assert "Table 1 of “A report”" in asked.caption(study).whole()
    assert not [line for line in smoke.axes[0].lines if line.get_gid() == "published"]


def test_costs_of_networks_that_nothing_has_pruned(study):
    frame = tidy.runs(study)
    trained = frame["run.prune"].isna()
    base = frame["configuration"] == 0
    params = frame["label.model"].map({model: size[0] for model, size in disk.AXES["model"].items()})
    assert costs(frame, study, "nonzeros")[trained].tolist() == params[trained].tolist()
    assert costs(frame, study, "file_bytes")[trained].tolist() == params[trained].tolist()
    # 0.9 ms before pruning, measured in turn with the networks pruned from it; of the others there is no measurement.
    assert costs(frame, study, "latency_1")[base].tolist() == pytest.approx([0.9] * 3)
    assert costs(frame, study, "latency_1")[trained & ~base].isna().all()
    pruned = frame.loc[~trained, "file_bytes"]
    assert costs(frame, study, "file_bytes")[~trained].tolist() == pruned.tolist()


def test_quantized_networks_have_no_latency_of_their_own(study):
    frame = tidy.runs(study)
    frame["run.quantize"] = frame["run.prune"].where(frame["label.prune.ratio"] == "0.7")
    found = costs(frame, study, "latency_64")
    assert found[frame["run.quantize"].notna()].isna().all()
    assert found[frame["run.prune"].notna() & frame["run.quantize"].isna()].notna().all()


def test_beside_chains_that_are_done_those_under_way_cost_nothing_yet(study):
    frame = tidy.runs(study)
    pruned = frame.index[frame["run.prune"].notna()]
    one = pruned[0]
    other = next(row for row in pruned if frame.loc[row, "configuration"] != frame.loc[one, "configuration"])
    frame.loc[one, "state"] = "waiting"
    alone = frame["configuration"] == frame.loc[other, "configuration"]
    frame.loc[alone, "state"] = "waiting"
    found = costs(frame, study, "file_bytes")
    assert np.isnan(found[one])
    assert found[frame["configuration"] == frame.loc[one, "configuration"]].notna().sum() == 2
    assert found[alone].notna().all(), "of a configuration under way alone it is what there is so far"
