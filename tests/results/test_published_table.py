"""Our accuracies beside published ones: rows matched by settings, missing runs, and files that do not fit."""

import shutil

import pytest

from espalier.errors import Mistake
from espalier.plan import published_numbers as files
from espalier.plan.build import build
from espalier.results.format import table_files
from espalier.results.read import bit_cells, tidy
from espalier.results.study_outputs import StudyOutput
from espalier.settings.problems import StudyError
from support import compressed_on_disk as compressed
from support import study_on_disk as disk
from support.pooled_intervals import intervals

SOURCES = "file,title,place,accuracy\nnets,A report,Table 1,the best of any epoch\n"
NETS = """model,train.optimizer,top1_pct,params,note
LeNet,SGD,97.5,31326,
LeNet,RMSprop,96.0,31.3K,"poor, they say"
ResNet 16-32-64,SGD,,78K,
LeNet,Lion,95.0,,
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.FOLDER.mkdir(parents=True)
    (files.FOLDER / "nets.csv").write_text(NETS)
    (files.FOLDER / "sources.csv").write_text(SOURCES)
    return tmp_path


def made(folder, study, **settings):
    return StudyOutput("table", "p", "published", {"file": "nets", "value": "top1_pct"} | settings).make(
        tidy.runs(study, folder), study
    )


def test_rows_stand_beside_the_configurations_that_they_name(folder):
    study = disk.plan(disk.product())
    disk.finish(folder, study)
    found = made(folder, study)
    frame = tidy.runs(study, folder)
    values = frame.groupby("configuration")["test_top1"].apply(list)
    ends = dict(zip(values.index, intervals(values), strict=True))
    # The file says nothing of the augmentation: every one of the three stands beside each row.
    assert found.data["augment"].tolist() == [*list(disk.AXES["augment"]) * 3, "–"]
    for row in found.data.to_dict("records")[:9]:
        here = frame[(frame["label.model"] == row["model"]) & (frame["label.augment"] == row["augment"])]
        here = here[here["label.train.optimizer"] == row["train.optimizer"]]
        expected = [3, here["test_top1"].mean(), here["test_top1"].std(), *ends[here["configuration"].iloc[0]]]
        got = [row[name] for name in ("n", "mean", "sd", "low", "high")]
        assert got == pytest.approx(expected, rel=1e-12)
        assert row["params"] == disk.AXES["model"][row["model"]][0]
    first = found.data.iloc[0]
    assert first["published"] == 97.5
    assert first["difference"] == pytest.approx(first["mean"] - 97.5)
    printed = found.printed.iloc[0].to_dict()
    assert printed["Ours, test top-1 (%)"] == f"{first['mean']:.2f} ± {first['sd']:.2f}"
    assert (printed["Published (%)"], printed["Published params"]) == ("97.50", "31,326")
    # Nothing published, nothing to differ from; and what the grid does not ask for has no number of ours.
    assert found.printed["Difference (points)"].tolist()[6:9] == ["–"] * 3
    assert found.printed.iloc[-1, :6].tolist() == ["LeNet", "–", "Lion", "not in the grid", "0", "–"]
    assert "A report" in found.caption.whole()
    assert "the best of any epoch" in found.caption.whole()


def test_sizes_of_files_stand_beside_each_other_where_they_are_published(folder):
    rows = "model,train.optimizer,top1_pct,file_bytes\nLeNet,SGD,97.5,27000\nLeNet,Lion,,\n"
    (files.FOLDER / "nets.csv").write_text(rows)
    study = disk.plan(disk.product())
    disk.finish(folder, study)
    for run in study["runs"].values():
        if run["stage"] == "train":
            (folder / run["path"] / "model.safetensors").write_bytes(b"\0" * 1234)
    printed = made(folder, study).printed[["Ours, file (bytes)", "Published file (bytes)"]].to_numpy().tolist()
    assert printed == [["1,234", "27,000"]] * 3 + [["–", "–"]]


def test_a_network_that_is_not_scored_has_no_size_of_a_stage_before(folder):
    rows = "model,train.optimizer,top1_pct,file_bytes\nLeNet,SGD,97.5,27000\n"
    (files.FOLDER / "nets.csv").write_text(rows)
    study = disk.plan(disk.product())
    disk.finish(folder, study)
    for run in study["runs"].values():
        if run["stage"] == "train":
            (folder / run["path"] / "model.safetensors").write_bytes(b"\0" * 1234)
        elif run["stage"] == "evaluate":
            shutil.rmtree(folder / run["path"])
    found = made(folder, study)
    assert set(found.printed["Ours, test top-1 (%)"]) == {"not run"}
    assert found.data["file_bytes"].isna().all()
    assert "Ours, file (bytes)" not in found.printed, "a column of which nothing is known"


def test_missing_runs_are_not_run_and_published_numbers_stay(folder):
    study = disk.plan(disk.product())
    found = made(folder, study)
    assert set(found.printed["Ours, test top-1 (%)"]) == {"not run", "not in the grid"}
    assert found.data["mean"].isna().all()
    assert found.data["published"].tolist()[:3] == [97.5] * 3
    table_files.write(folder, "p", found)
    assert {path.suffix for path in folder.glob("p.*")} == {".csv", ".md", ".tex", ".html"}


def test_widths_of_one_grid_stand_beside_their_published_rows(folder):
    text = "prune,weight_bits,activation_bits,top1_pct\npruned,4,8,90.5\npruned,32,32,94.4\npruned,2,2,10\n"
    (files.FOLDER / "nets.csv").write_text(text)
    study = compressed.plan(ways=("calibrated",))
    compressed.finish(folder, study)
    frame = tidy.runs(study, folder)
    cells = bit_cells.cells(frame, study)
    pruned = cells[cells["configuration"] == cells["configuration"].max()]
    found = made(folder, study)
    for row, widths in zip(found.data.to_dict("records"), ((4, 8), (32, 32)), strict=False):
        own = pruned[(pruned["weight_bits"] == widths[0]) & (pruned["activation_bits"] == widths[1])]
        assert (row["n"], row["mean"]) == (2, pytest.approx(own["test_top1"].mean()))
        assert row["prune"] == "pruned"
    assert found.printed["Weights (bits)"].tolist() == ["4", "32", "2"]
    assert found.printed["Ours, test top-1 (%)"].tolist()[-1] == "not in the grid"


def test_a_smoke_run_differs_from_nothing(folder):
    study = disk.plan(disk.product(), scale="smoke")
    disk.finish(folder, study)
    found = made(folder, study)
    assert found.data["difference"].isna().all()
    assert found.data["mean"].notna().any()
    assert "Smoke run" in found.caption.whole()


def test_the_name_that_a_row_was_published_under_stands_first(folder):
    (files.FOLDER / "nets.csv").write_text("name,model,top1_pct\nLeNet of 1998,LeNet,97.5\n")
    found = made(folder, disk.plan())
    assert found.printed.iloc[:, 0].name == "Published as"
    assert set(found.printed["Published as"]) == {"LeNet of 1998"}


def test_cells_name_labels_by_text_or_by_number():
    assert files.meets("0.0010", "0.001")
    assert files.meets("1e-05", "0.00001")
    assert files.meets("", "–")
    assert files.meets("cosine", "cosine")
    assert not files.meets("0.1", "0.01")
    assert not files.meets("0.1", "none")
    assert not files.meets("0", "–")


def test_a_column_names_an_axis_by_its_path_or_by_its_end_where_only_one_has_it():
    axes = ["train.batch_size", "train.optimizer.lr", "fine_tune.optimizer.lr"]
    named = files.keys(["batch_size", "lr", "train.optimizer.lr", "top1_pct"], axes)
    assert named == {"batch_size": "train.batch_size", "train.optimizer.lr": "train.optimizer.lr"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("{name: tradeoff, published: net}", "did you mean 'nets'?"),
        ("{name: tradeoff, published: unsourced}", "sources.csv: has no row for 'unsourced'"),
        ("{name: tradeoff, published: nets}", "nets.csv has no column name, by which its rows are drawn"),
        ("{name: tradeoff, published: strange, x: macs}", "strange.csv has no column macs, by which its rows"),
        ("{name: tradeoff, published: strange}", "strange.csv:3: params and top1_pct must be numbers or empty"),
        ("{name: published, file: net}", "did you mean 'nets'?"),
        ("{name: published, file: nets, value: top1}", "did you mean 'top1_pct'?"),
        ("{name: published, file: nets, value: note}", "nets.csv:3: note is 'poor, they say', which is no number"),
        ("{name: published, file: unsourced}", "sources.csv: has no row for 'unsourced'"),
        ("{name: published, file: strange}", "no column that is named as an axis of the study (model)"),
        ("{name: published, file: ragged}", "ragged.csv:2: has not one value for each column"),
    ],
)
def test_a_file_that_does_not_fit_is_told_before_any_job(folder, asked, told):
    sources = SOURCES + "strange,A,B,C\nragged,A,B,C\n"
    (files.FOLDER / "sources.csv").write_text(sources)
    (files.FOLDER / "unsourced.csv").write_text(NETS)
    (files.FOLDER / "strange.csv").write_text("network,top1_pct,name,params\nLeNet,97,one,\nLeNet,97,one,31K\n")
    (files.FOLDER / "ragged.csv").write_text("model,top1_pct\nLeNet,97,5\n")
    kind = "figures" if "tradeoff" in asked else "tables"
    text = f"title: t\ndataset: digits\nmodel: lenet\ngrid: {{product: {{model: [lenet]}}}}\n{kind}: [{asked}]\n"
    (folder / "s.yaml").write_text(text)
    with pytest.raises(StudyError) as error:
        build(["s"], folder)
    assert told in str(error.value)
    assert len(error.value.problems) == 1


def test_a_file_that_went_away_is_one_clear_error(folder):
    (files.FOLDER / "nets.csv").unlink()
    with pytest.raises(Mistake, match="unknown file 'nets'"):
        made(folder, disk.plan())


def test_the_workflow_knows_what_a_study_reads():
    tables = [{"name": "summary"}, {"name": "published", "file": "nets"}, {"name": "published", "file": "others"}]
    assert [path.name for path in files.paths(tables)] == ["nets.csv", "others.csv", "sources.csv"]
    assert files.paths(tables[:1]) == []
    figures = [{"name": "tradeoff", "published": None}, {"name": "tradeoff", "published": "nets"}]
    assert [path.name for path in files.paths(figures)] == ["nets.csv", "sources.csv"]
