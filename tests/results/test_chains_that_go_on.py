"""Tables and figures of a stage on a study in which every network of that stage is taken further."""

import pytest

from espalier.results.format import table_files
from espalier.results.read import tidy
from espalier.results.read.stage_networks import until
from espalier.settings.registry import entries
from support import compressed_on_disk as compressed
from support import study_on_disk as disk
from support.made_results import made

SETTINGS = {"axis": "quantize", "count": 3}
NEEDS = {"zoo", "published"}


def wanted():
    for kind in ("table", "figure"):
        for name, entry in entries(kind).items():
            if entry.facts.get("reads") not in NEEDS and "axis" not in entry.facts:
                yield kind, name


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Every trained and every pruned network is quantized and coded, in two ways."""
    monkeypatch.chdir(tmp_path)
    study = compressed.plan(ways=("calibrated", "plain"))
    study["points"] = [point for point in study["points"] if "quantize" in point["runs"]]
    used = {run for point in study["points"] for run in point["runs"].values()}
    study["runs"] = {id_: run for id_, run in study["runs"].items() if id_ in used}
    compressed.finish(tmp_path, study)
    return study


@pytest.mark.parametrize(("kind", "name"), [*wanted()])
def test_everything_stands(study, kind, name):
    asked = {key: SETTINGS[key] for key in disk.required(kind, name)}
    assert made(kind, name, study, **asked)


def test_pruned_networks_are_there_once_with_their_own_numbers(study):
    found = made("table", "pruning", study)
    (row,) = found.data.to_dict("records")
    # Repeats 0 and 1 lie a point apart; test images a point below; the network before two points above.
    assert row["n"] == 2
    assert row["top1_mean"] == pytest.approx((94 + 95) / 2 - 2 - 1)
    assert row["change_mean"] == pytest.approx(-2.0)
    assert row["file_bytes"] == compressed.PRUNED_BYTES
    assert "–" not in found.printed["Change (points)"].tolist()
    assert "quantize" not in table_files.csv(found)


@pytest.mark.parametrize(("stage", "networks", "top1"), [("train", 1, 94.5), ("prune", 2, 93.5), ("quantize", 4, None)])
def test_each_network_of_a_stage_is_one_configuration(study, stage, networks, top1):
    frame, short = until(tidy.runs(study), study, stage)
    assert frame["configuration"].nunique() == networks
    assert len(frame) == len(short["points"]) == 2 * networks
    assert set(frame["state"]) == {"done"}
    if top1:
        assert frame["validation_top1"].mean() == pytest.approx(top1)
        assert frame["test_top1"].mean() == pytest.approx(top1 - 1)


def test_a_network_that_ends_here_speaks_for_those_that_go_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = compressed.plan(ways=("calibrated",))
    compressed.finish(tmp_path, study)
    whole = tidy.runs(study)
    frame, _ = until(whole, study, "prune")
    assert frame["run.quantize"].isna().all()
    bare = whole[whole["label.quantize"] == "none"]
    assert frame["test_top1"].tolist() == bare["test_top1"].tolist()


def test_what_is_not_scored_yet_is_missing(study, tmp_path):
    for run in study["runs"].values():
        if run["stage"] == "evaluate":
            disk.undo(tmp_path, run, "waiting")
    frame, _ = until(tidy.runs(study), study, "prune")
    assert frame["test_top1"].isna().all() and frame["validation_top1"].notna().all()
    assert set(frame["state"]) == {"waiting"}
