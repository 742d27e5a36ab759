"""The checklist says of a study what its plan and results hold, and changes with them."""

import pytest

from espalier.results.format import latex, table_files
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput
from support import study_on_disk as disk
from support.sealed import reseal

CONTROLS = {
    "random": "Control: as much pruned at random",
    "scratch": "Control: the pruned structure trained from scratch",
}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.pruned(disk.plan())
    disk.finish(tmp_path, study)
    return study


def filled(study, change=lambda frame: frame):
    """Asked → (satisfied, found)."""
    made = StudyOutput("table", "checklist", "checklist", {}).make(change(tidy.runs(study)), study)
    assert list(made.data.columns) == ["asked", "met", "found"]
    return {row["asked"]: (row["met"], row["found"]) for row in made.data.to_dict("records")}


def only(study, words, change=lambda frame: frame):
    """The one item whose text begins with `words`."""
    (found,) = [value for asked, value in filled(study, change).items() if asked.startswith(words)]
    return found


def prunings(study):
    return [(id_, run) for id_, run in study["runs"].items() if run["stage"] == "prune"]


def test_pairs_leave_toys_out(study):
    assert only(study, "Three or more pairs") == ("no", "0 of 1 (resnet on digits)")
    for run in study["runs"].values():
        if run["stage"] == "prepare":
            run["settings"]["dataset.name"] = "cifar10"
    assert only(study, "Three or more pairs") == ("no", "1 of 1 (resnet on cifar10)")
    pruned = [point for point in study["points"] if "prune" in point["runs"]]
    trained = [study["runs"][point["runs"]["train"]]["settings"] for point in pruned[:3]]
    for settings, width in zip(trained, "123", strict=True):
        settings["model.channels"] = width
    assert only(study, "Three or more pairs") == ("no", "1 of 1 (resnet on cifar10)")
    for settings, name in zip(trained, ("resnet", "densenet", "cct"), strict=True):
        settings["model.name"] = name
    expected = "3 of 3 (resnet on cifar10, densenet on cifar10, cct on cifar10)"
    assert only(study, "Three or more pairs") == ("yes", expected)


def test_pairs_of_a_study_that_prunes_nothing_are_those_trained():
    study = disk.plan()
    assert only(study, "Three or more pairs")[1] == "0 of 2 (resnet on digits, lenet on digits)"


def test_seeds_are_those_of_the_configuration_with_fewest(study, tmp_path):
    assert only(study, "Means and") == ("yes", "3 planned, 3 done of the configuration with fewest")
    disk.undo(tmp_path, study["runs"][study["points"][4]["runs"]["evaluate"]], "waiting")
    assert only(study, "Means and") == ("no", "3 planned, 2 done of the configuration with fewest")


def test_top5_and_macs_must_be_there_for_all_that_is_done(study):
    chains = len(study["points"])
    assert only(study, "Top-1 and top-5") == ("yes", f"{chains} of {chains} finished chains, of the test split")

    def less(frame):
        return frame.assign(
            test_top5=frame["test_top5"].where(frame.index > 0), macs=frame["macs"].where(frame.index > 1)
        )

    assert only(study, "Top-1 and top-5", less) == (
        "no",
        f"{chains - 1} of {chains} finished chains, of the test split",
    )
    assert only(study, "Parameters and MACs", less) == ("no", f"{chains - 2} of {chains} finished chains, with both")


def test_commits_and_versions_of_every_run(study, tmp_path):
    stages = [run for run in study["runs"].values() if run["stage"] != "prepare"]
    assert only(study, "Commit") == ("yes", f"{len(stages)} of {len(stages)} runs")
    first = tmp_path / stages[0]["path"]
    reseal(first, git={"commit": "1b2c3d4e", "dirty": True})
    assert only(study, "Commit") == ("no", f"{len(stages)} of {len(stages)} runs, 1 with uncommitted changes")
    reseal(first, git={"commit": None, "dirty": None})
    assert only(study, "Commit") == ("no", f"{len(stages) - 1} of {len(stages)} runs")


@pytest.mark.parametrize(
    ("ratios", "enough", "spans", "found"),
    [
        ((0.3, 0.5, 0.7), "no", "no", "2.0 to 11.1 times"),
        ((0.1, 0.3, 0.5, 0.7, 0.9), "yes", "yes", "1.2 to 100.0 times"),
        ((0.5, 0.6, 0.7, 0.8, 0.9), "yes", "no", "4.0 to 100.0 times"),
    ],
)
def test_ratios_and_compression(tmp_path, monkeypatch, ratios, enough, spans, found):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(disk, "RATIOS", ratios)
    study = disk.pruned(disk.plan())
    disk.finish(tmp_path, study)
    assert only(study, "Five or more") == (enough, f"structured {len(ratios)}")
    assert only(study, "Compression from") == (spans, found)


def test_one_more_ratio_elsewhere_does_not_take_from_a_curve(study):
    run = prunings(study)[0][1]
    study["runs"]["elsewhere"] = run | {"parent": study["points"][5]["runs"]["train"]}
    assert only(study, "Five or more") == ("no", "structured 3")
    settings = run["settings"] | {"prune.scope": "global"}
    study["runs"]["another"] = run | {"settings": settings}
    assert only(study, "Five or more") == ("no", "structured 3, structured 1")


def test_the_decline_is_that_at_the_highest_compression(study):
    frame = tidy.runs(study)
    before = frame[frame["run.prune"].isna()].set_index("run.train")["test_top1"]
    last = frame[frame["label.prune.ratio"] == "0.7"]
    change = (last["test_top1"] - last["run.train"].map(before)).mean()
    assert -5 < change < 0
    assert only(study, "Up to where") == ("no", f"−{-change:.2f} points at 11.1 times")

    def worse(frame):
        return frame.assign(test_top1=frame["test_top1"] - 3.0 * (frame["label.prune.ratio"] == "0.7"))

    assert only(study, "Up to where", worse) == ("yes", f"−{3 - change:.2f} points at 11.1 times")


def test_pruned_networks_without_their_beginning(study):
    assert only(study, "Accuracy of the same network") == ("yes", "3 of 3 trained networks that were pruned")
    study["points"] = study["points"][1:]
    assert only(study, "Accuracy of the same network") == ("no", "2 of 3 trained networks that were pruned")


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_count_where_they_have_the_same_settings(study, control):
    assert only(study, CONTROLS[control]) == ("no", "0 of 9 pruned networks")
    before = filled(study)
    pairs = prunings(study)
    for number, (id_, run) in enumerate(pairs):
        study["runs"][f"{id_}-c"] = run | {"settings": run["settings"] | {"control": control}}
        expected = "yes" if number == len(pairs) - 1 else "no"
        assert only(study, CONTROLS[control]) == (expected, f"{number + 1} of 9 pruned networks")
    # Nothing else changes by a control: it is no method, no ratio and no compression.
    after = filled(study)
    assert {asked for asked in before if before[asked] != after[asked]} <= {
        CONTROLS[control],
        "Commit, versions and hardware of every run",
    }


def test_channels_ranked_by_chance_are_a_control(study):
    for id_, run in prunings(study)[:1]:
        study["runs"][f"{id_}-r"] = run | {"settings": run["settings"] | {"prune.importance": "random"}}
    assert only(study, CONTROLS["random"]) == ("no", "1 of 9 pruned networks")


def test_methods_and_their_fine_tuning(study):
    assert only(study, "Pruning by magnitude") == ("no", "none (structured)")
    assert only(study, "Two or more methods") == ("no", "1 method, 1 setting of fine-tuning")
    run = prunings(study)[0][1]
    study["runs"]["m"] = run | {"settings": run["settings"] | {"prune.name": "magnitude"}}
    assert only(study, "Pruning by magnitude") == ("yes", "magnitude")
    assert only(study, "Two or more methods") == ("yes", "2 methods, 1 setting of fine-tuning")
    run["settings"]["fine_tune.epochs"] = 40
    assert only(study, "Two or more methods") == ("no", "2 methods, 2 settings of fine-tuning")


@pytest.mark.parametrize(("published", "met"), [(98.0, "yes"), (120.0, "no")])
def test_accuracy_before_pruning_beside_a_published_one(study, tmp_path, published, met):
    assert only(study, "Accuracy before pruning") == ("no", "compared with no published accuracy")
    folder = tmp_path / "config/published"
    folder.mkdir(parents=True)
    (folder / "sources.csv").write_text("file,title,place,accuracy\nours_digits,A report,Table 1,of the test split\n")
    (folder / "ours_digits.csv").write_text(f"model,top1_pct\nLeNet,{published}\n")
    study["tables"].append({"key": "published", "name": "published", "file": "ours_digits", "value": "top1_pct"})
    frame = tidy.runs(study)
    ours = frame.loc[frame["label.model"] == "LeNet", "test_top1"].mean()
    sign = "+" if ours > published else "−"
    expected = f"{sign}{abs(ours - published):.2f} points, the least of 1 network"
    assert only(study, "Accuracy before pruning") == (met, expected)


def test_without_pruning_or_results_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bare = filled(disk.plan())
    assert [met for met, _ in bare.values()].count("does not apply") == 8
    assert bare["Top-1 and top-5"] == ("no result yet", "–")
    planned = filled(disk.pruned(disk.plan()))
    assert planned["Five or more ratios of every method"] == ("no", "structured 3")
    assert planned["Compression from 2 to 32 times"] == ("no result yet", "–")


def test_the_table_names_its_source_in_every_form(study):
    made = StudyOutput("table", "checklist", "checklist", {}).make(tidy.runs(study), study)
    for text in (table_files.markdown(made), latex.latex(made, "k"), table_files.page(made)):
        assert "Blalock et al. 2020 (arXiv 2003.03033)" in text
        assert text.count("Control: ") == 2
