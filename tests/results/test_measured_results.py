"""Tables and figures of what evaluations measure: classes, calibration, robustness."""

from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.results.format import style, table_files
from espalier.runs.columns import MEASURED, write_rows
from support import compressed_on_disk as compressed
from support import measured_on_disk as measured
from support.made_results import made
from support.sealed import reseal

ONE = {"configuration": None}
TABLES = {"per_class": ONE, "calibration": {}, "robustness": {}, "test_metrics": {}}
FIGURES = {"confusion": ONE, "reliability": {}}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = compressed.plan(ways=("calibrated",))
    compressed.finish(tmp_path, study)
    measured.measure(tmp_path, study)
    return study


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_classes_are_named_and_are_means_over_repeats(study):
    found = made("table", "per_class", study, **ONE)
    assert found.printed["Class"].tolist() == ["a", "b"]
    first = found.data.iloc[0]
    assert (first["recall_mean"], first["n"], first["images"]) == (90.5, 2, 100)
    assert first["recall_sd"] == pytest.approx(0.5**0.5)
    assert found.printed["Recall (%)"].tolist() == ["90.50 ± 0.71", "100.00 ± 0.00"]
    assert "baseline" in found.caption.whole() and "precision" in found.caption.whole().lower()


def test_another_configuration_is_named_by_its_labels(study):
    for point in study["points"]:
        if point["labels"] == {"prune": "pruned", "quantize": "none"}:
            folder = Path(study["runs"][point["runs"]["evaluate"]]["path"])
            row = {"class": "a", "precision": 1.0, "recall": 2.0, "f1": 3.0, "images": 4}
            measured.write_table(folder, "per_class", [row])
            reseal(folder)
    found = made("table", "per_class", study, configuration={"prune": "pruned"})
    assert found.data[["precision_mean", "recall_mean", "f1_mean", "images"]].to_numpy().tolist() == [[1, 2, 3, 4]]
    assert "pruned" in found.caption.whole()
    with pytest.raises(Mistake, match="no point of the grid has the labels prune: gone, quantize: none"):
        made("table", "per_class", study, configuration={"prune": "gone"})


def test_calibration_has_a_row_a_configuration(study):
    found = made("table", "calibration", study)
    assert found.data[["prune", "quantize"]].to_numpy().tolist() == [
        [pruning, way] for pruning in ("dense", "pruned") for way in ("none", "calibrated")
    ]
    for name, value in (measured.NUMBERS | {"confidence": 95.0}).items():
        assert found.data[f"{name}_mean"].tolist() == pytest.approx([value] * 4)
    assert set(found.data["n"]) == {2}
    # All networks have the same, and a table prints what tells them apart.
    assert "NLL (nats) 0.2500 ± 0.0000" in found.caption.notes and "n = 2." in found.caption.text


def test_every_number_of_a_metric_is_a_column(study):
    point = study["points"][0]
    folder = Path(study["runs"][point["runs"]["evaluate"]]["path"])
    rows = [{"metric": name, "value": value} for name, value in (measured.NUMBERS | {"own": 7.5}).items()]
    write_rows(folder / "test_metrics.csv", MEASURED, rows)
    reseal(folder)
    found = made("table", "test_metrics", study)
    assert found.data["own_mean"].tolist()[0] == 7.5 and found.data["own_mean"].isna().sum() == 3
    for name, value in measured.NUMBERS.items():
        assert found.data[f"{name}_mean"].tolist() == pytest.approx([value] * 4)
    assert found.printed["own"].tolist() == ["7.5000", "–", "–", "–"] and set(found.data["n"]) == {2}


def test_robustness_has_a_row_a_stage_before_and_after(study):
    found = made("table", "robustness", study)
    rows = found.data[found.data["prune"] == "pruned"]
    assert rows["stage"].tolist() == ["original", "pruned", "quantized (W4 A4)", "coded", "ONNX int8"]
    # Of 95 %, 10 + i points are lost at one strength and twice as many at the other.
    assert rows["mean_corruption_error_mean"].tolist() == pytest.approx([5 + 1.5 * (10 + place) for place in range(5)])
    assert set(rows["clean_top1_mean"]) == {95.0} and set(rows["n"]) == {2}
    assert (
        "jpeg, contrast at 2 strengths" in found.caption.whole() and "not divided by AlexNet's" in found.caption.whole()
    )


def test_confusion_shows_shares_of_each_class_by_name(study):
    figure = made("figure", "confusion", study, **ONE)
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a", "b"]
    cells = {(text.get_gid(), *text.xy): text.get_text() for text in panel.texts}
    assert cells == {("right", 0, 0): "90", ("wrong", 1, 0): "9.5", ("right", 1, 1): "100"}
    assert "n = 2 repeats of 200 test images" in figure.get_supxlabel()


def test_of_many_classes_those_recognized_least_are_drawn(study):
    names = [f"class {number}" for number in range(30)]
    for point in study["points"]:
        folder = Path(study["runs"][point["runs"]["evaluate"]]["path"])
        rows = [
            {"label": name, "predicted": other, "images": count}
            for number, name in enumerate(names)
            for other, count in ((name, 50 + number), (names[29], 50 - number))
            if number < 29 or other == name
        ]
        measured.write_table(folder, "confusion", rows)
        reseal(folder)
    figure = made("figure", "confusion", study, **ONE)
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == names[:20]
    assert [label.get_text() for label in panel.get_xticklabels()] == [*names[:20], "others"]
    assert {text.get_text() for text in panel.texts if text.xy == (20, 7)} == {"43"}
    assert "The 20 of 30 classes" in figure.get_supxlabel()


def test_reliability_pools_the_bins_of_all_repeats(study):
    figure = made("figure", "reliability", study)
    panel, below = figure.axes
    lines = [line for line in panel.lines if line.get_gid() == "bins"]
    assert len(lines) == 4
    assert lines[0].get_xydata().tolist() == [[95.0, 90.5]]
    assert "baseline (ECE 4.5 %, n = 2)" in words(figure)
    assert next(line.get_xydata().tolist() for line in below.lines if line.get_gid() == "share") == [[75.0, 100.0]]


@pytest.mark.parametrize("gone", ["one", "all"])
def test_what_is_not_there_yet_is_said(study, gone, tmp_path):
    for point in study["points"][: 1 if gone == "one" else None]:
        (Path(study["runs"][point["runs"]["evaluate"]]["path"]) / "run.json").unlink()
    for name, settings in TABLES.items():
        found = made("table", name, study, **settings)
        table_files.write(tmp_path, name, found)
        # Without any number, no column has a name.
        assert gone == "one" or {"–", "0"} & {*found.printed.to_numpy().ravel()}
    for name, settings in FIGURES.items():
        figure = made("figure", name, study, **settings)
        style.save(figure, tmp_path, name)
        assert "Incomplete" in words(figure) if gone == "one" else "planned" in words(figure)


def test_evaluations_of_before_show_what_they_have(tmp_path, monkeypatch):
    """Runs that were evaluated before these files were written are done, and stay so."""
    monkeypatch.chdir(tmp_path)
    study = compressed.plan(ways=("calibrated",))
    compressed.finish(tmp_path, study)
    found = made("table", "calibration", study)
    assert found.printed["Test top-1 (%)"].tolist()[0] == "93.50 ± 0.71"
    assert found.data["nll_mean"].isna().all() and "NLL (nats)" not in found.printed
    for name, settings in FIGURES.items():
        assert "planned" in words(made("figure", name, study, **settings))


def test_all_are_marked_where_the_epoch_is_chosen_on_the_test_split(study):
    for run in study["runs"].values():
        if run["stage"] == "prepare":
            run["settings"]["protocol"] = "published"
    for name, settings in TABLES.items():
        found = made("table", name, study, **settings)
        assert all(head.endswith(" *") for head in found.printed if "(%)" in head)
