"""What runs again, and what does not: dry runs of a study that has really been run."""

import json
import os
import re
import time
from zipfile import ZipFile

import pytest

TINY = ("--config", "studies=tiny")
TRAINING = {"prepare", "train", "evaluate"}


@pytest.fixture
def done(finished, tmp_path):
    return finished.copy(tmp_path / "copy")


def test_a_second_call_says_nothing_to_be_done(finished):
    assert finished.jobs(*TINY) == {}


def test_the_run_made_everything_it_promised(finished):
    results = finished.folder / "results"
    runs = list((results / "runs/train").iterdir())
    assert len(runs) == 2
    for run in runs:
        made = {path.name for path in run.iterdir()}
        assert {"model.safetensors", "model.json", "history.csv", "metrics.csv", "run.json", "run.log"} <= made
        assert "checkpoint" not in made
    study = results / "studies/tiny"
    assert {path.suffix for path in (study / "tables").glob("[!.]*")} == {".csv", ".md", ".tex", ".html"}
    assert {path.suffix for path in (study / "figures").iterdir()} >= {".png", ".pdf"}
    assert (study / "index.html").stat().st_size > 1000
    assert not [path for path in results.rglob(".*") if path.name != ".snakemake_timestamp"]


def test_every_run_was_forked_where_torch_was_imported(finished):
    found = [json.loads(path.read_text()) for path in (finished.folder / "results/runs").glob("*/*/run.json")]
    assert {run["stage"] for run in found} == {"train", "evaluate"}
    assert all(run["preloaded"] for run in found)


def test_moving_the_repository_reruns_nothing(done, tmp_path):
    done.folder.rename(tmp_path / "moved")
    assert type(done)(tmp_path / "moved").jobs(*TINY) == {}


def test_a_new_option_with_a_default_retrains_nothing(done):
    done.edit(
        "espalier/settings/sections.py",
        "    clip_norm:",
        '    new: int = 3\n    """new"""\n    clip_norm:',
    )
    done.edit(
        "espalier/models/resnet.py",
        "    dropout: Fraction = 0.0,",
        "    dropout: Fraction = 0.0,\n    new: int = 3,",
    )
    assert not TRAINING & set(done.jobs(*TINY))


def test_extending_the_grid_runs_only_what_is_new(done):
    done.edit("config/studies/tiny.yaml", "[0.1, 0.05]", "[0.1, 0.05, 0.02]")
    jobs = done.jobs(*TINY)
    assert (jobs.get("prepare"), jobs["train"], jobs["evaluate"]) == (None, 1, 1)


def test_more_repeats_run_only_what_is_new(done):
    jobs = done.jobs("--config", "studies=tiny", "repeats=3")
    assert (jobs.get("prepare"), jobs["train"], jobs["evaluate"]) == (None, 4, 4)


def test_another_study_shares_the_runs(done):
    text = (done.folder / "config/studies/tiny.yaml").read_text()
    (done.folder / "config/studies/other.yaml").write_text(text.replace("[0.1, 0.05]", "[0.1, 0.2]"))
    jobs = done.jobs("--config", "studies=tiny,other")
    assert (jobs.get("prepare"), jobs["train"], jobs["evaluate"]) == (None, 1, 1)


def test_captions_titles_and_plot_code_retrain_nothing(done):
    later = time.time() + 60
    scripts = done.folder / "workflow/scripts"
    for path in [
        *scripts.rglob("*.py"),
        *(done.folder / "workflow/report").iterdir(),
        done.folder / "config/README.md",
    ]:
        path.write_text(path.read_text() + "\n")
        os.utime(path, (later, later))
    done.edit("config/studies/tiny.yaml", "title: The", "title: Another name for the")
    jobs = done.jobs(*TINY)
    assert not TRAINING & set(jobs)
    assert jobs["plot"] == jobs["tabulate"] == jobs["page"] == 1


def test_a_changed_setting_retrains(done):
    """The control: the dry runs above would see a run that is missing."""
    assert done.jobs(*TINY, "train={epochs: 3}")["train"] == 2


@pytest.mark.parametrize("lost", ["model.safetensors", "run.json"])
def test_a_run_without_its_weights_or_its_end_is_made_again_where_another_reads_it(done, lost):
    """The weights make room when they are deleted; run.json is written last."""
    for path in done.folder.glob(f"results/runs/train/*/{lost}"):
        path.unlink()
    assert done.jobs(*TINY) == {}
    jobs = done.jobs("--forcerun", "evaluate", *TINY)
    assert (jobs.get("prepare"), jobs["train"], jobs["evaluate"]) == (None, 2, 2)


def test_status_counts_what_is_done(done):
    text = done.snakemake("-c1", "-q", "all", *TINY, "--", "status").stdout
    assert "2" in text and "done" in text


def test_the_report_is_a_zip_with_every_table_and_figure(done):
    done.snakemake("-c1", *TINY, "--", "report")
    assert (done.folder / "results/report.zip").stat().st_size > 100_000
    with ZipFile(done.folder / "results/report.zip") as report:
        names = report.namelist()
    # As explore.html reads it in its own address, to know that no index.html stands beside it.
    assert [name for name in names if re.search(r"/data/raw/[^/]+/explore\.html$", name)]
    assert not any(name.endswith("index.html") for name in names)


def test_a_partial_page_needs_no_finished_run(repository):
    repository.snakemake("-c1", *TINY, "--", "partial")
    assert (repository.folder / "results/partial/tiny/index.html").exists()


def test_a_failing_run_leaves_the_others_running(done):
    lines = "title: one fails\ndataset: digits\nmodel: {name: resnet, blocks: [1], channels: [4]}\ntrain: {epochs: 1}\n"
    lines += "grid: {product: {train.optimizer.lr: [0.1, 1e30]}}\ntables: [summary]\n"
    (done.folder / "config/studies/fails.yaml").write_text(lines)
    failed = done.snakemake("-c2", "--config", "studies=fails", check=False)
    assert failed.returncode != 0
    text = done.snakemake("-c1", "-q", "all", "--config", "studies=fails", "--", "status").stdout
    assert re.search(r"train +1 +- +1 ", text), text
    (log,) = re.findall(r"\S+/run\.log", text)
    assert "learning rate" in (done.folder / log).read_text()
    assert not (done.folder / log).with_name("model.safetensors").exists()
