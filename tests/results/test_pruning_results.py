"""Tables and figures of pruned networks."""

import numpy as np
import pytest

from espalier.results.read import tidy
from support import study_on_disk as disk
from support.made_results import made
from support.pooled_intervals import intervals


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.pruned(disk.plan())
    disk.finish(tmp_path, study)
    return study


def test_change_is_that_of_each_repeat_from_its_own_parent(study):
    found = made("table", "pruning", study)
    frame = tidy.runs(study)
    before = frame[frame["run.prune"].isna()].groupby("run.train")["test_top1"].first()
    for ratio, row in zip(disk.RATIOS, found.data.to_dict("records"), strict=True):
        runs = frame[frame["label.prune.ratio"] == str(ratio)]
        change = runs["test_top1"] - runs["run.train"].map(before)
        assert row["n"] == 3
        assert row["change_mean"] == pytest.approx(change.mean())
        assert row["change_std"] == pytest.approx(change.std(ddof=1))
        assert row["compression"] == pytest.approx(1 / (1 - ratio) ** 2)
    assert found.printed["Latency, 1 image (ms)"][1] == "0.45 (2.00×)"
    assert found.printed["Params (k)"].tolist()[0] == "9.7 (49 %)"


def test_layers_stand_side_by_side(study):
    found = made("table", "layers", study, repeat=2)
    assert found.data["layer"].tolist() == ["stem", "classifier"]
    assert len(found.printed.columns) == 4


@pytest.mark.parametrize("x", ["nonzeros", "params", "macs", "file_bytes", "latency_1", "latency_64"])
def test_a_line_joins_the_ratios_of_one_way_to_prune(study, x):
    figure = made("figure", "compression", study, x=x)
    (panel,) = figure.axes
    means = {line.get_label(): line for line in panel.lines if line.get_gid() in (None, "front")}
    assert len(means["channels"].get_xdata()) == 3
    assert sorted(means["channels"].get_xdata()) == list(means["channels"].get_xdata())
    assert not any(name.startswith("_") for name in means)
    drawn = np.concatenate([line.get_ydata() for line in panel.lines if line.get_gid() == "interval"])
    frame = tidy.runs(study)
    shown = frame["run.train"].isin(frame.loc[frame["run.prune"].notna(), "run.train"])
    groups = frame.groupby("configuration", sort=False)["test_top1"].apply(np.array)
    expected = dict(zip(groups.index, intervals(groups), strict=True))
    # Of the others, the network before is not measured here.
    if x in ("nonzeros", "params", "macs"):
        ends = [expected[number] for number in frame.loc[shown, "configuration"].unique()]
        np.testing.assert_allclose(np.sort(drawn[~np.isnan(drawn)]), np.sort(np.ravel(ends)))


def test_without_results_it_says_so(study, tmp_path):
    for run in study["runs"].values():
        if run["stage"] != "prepare":
            disk.undo(tmp_path, run, "waiting")
    figure = made("figure", "compression", study, x="params")
    assert "planned" in figure.axes[0].texts[0].get_text()
    assert made("table", "pruning", study).data["n"].tolist() == [0, 0, 0]
