"""What runs again, and what does not: dry runs of a study that has really been run."""

import json
import os
import re
import time
from pathlib import Path
from zipfile import ZipFile

import pytest

TINY = ("--config", "studies=tiny")
TRAINING = {"prepare", "train", "evaluate"}
HALVED = """title: rungs
dataset: digits
model: {name: mlp, hidden: [8]}
train: {epochs: 2, optimizer: {name: sgd, lr: 0.1}, scheduler: constant}
grid: {product: {train.optimizer.lr: [0.0001, 0.2]}}
figures: []
"""
PAGE = {"outdated": 1, "page": 1}
RUNGS = ("--config", "studies=rungs")
WHOLE = ("--config", "studies=whole")


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


def test_the_notebook_runs_from_its_first_cell_to_its_last(done, monkeypatch):
    monkeypatch.chdir(done.folder)
    cells = json.loads((Path(__file__).parents[2] / "docs/use-a-network.ipynb").read_text())["cells"]
    scope: dict = {}
    for number, cell in enumerate(cell for cell in cells if cell["cell_type"] == "code"):
        program = "".join(cell["source"]).replace('STUDY = "demo"', 'STUDY = "tiny"')
        exec(compile(program, f"cell {number}", "exec"), scope)
    assert scope["STUDY"] == "tiny" and len(scope["answers"]) == 2 and len(scope["logits"]) == 1
    assert {answer.label for answer in scope["answers"]} <= set(scope["net"].feed.classes)
    assert scope["runs"]["validation_top1"].is_monotonic_decreasing


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


def test_what_is_extended_is_not_trained_anew(finished):
    jobs = finished.jobs(*TINY, "extend={epochs: 1}")
    assert (jobs["extend"], jobs["evaluate"]) == (2, 2) and "train" not in jobs


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
    assert jobs["page"] == 1


def test_the_report_is_a_zip_with_every_table_and_figure(done):
    done.snakemake("-c1", *TINY, "--", "report")
    assert (done.folder / "results/report.zip").stat().st_size > 100_000
    with ZipFile(done.folder / "results/report.zip") as report:
        names = report.namelist()
        assert 'content="0; url=results/studies/tiny/index.html"' in report.read("report/index.html").decode()
    # As explore.html reads it in its own address, to know that no index.html stands beside it.
    assert [name for name in names if re.search(r"/data/raw/[^/]+/explore\.html$", name)]
    page = "report/results/studies/tiny/index.html"
    assert {"report/index.html", page} <= {*names} and len(names) == len({*names})
    assert not [name for name in names if "/data/raw/" in name and name.endswith("index.html")]


def test_a_diverging_run_is_an_outcome_and_the_page_is_made(done):
    lines = "title: one diverges\ndataset: digits\nmodel: {name: resnet, blocks: [1], channels: [4]}\n"
    lines += "train: {epochs: 1}\ngrid: {product: {train.optimizer.lr: [0.1, 1e30]}}\ntables: [summary]\nfigures: []\n"
    (done.folder / "config/studies/diverges.yaml").write_text(lines)
    words = ("--config", "studies=diverges")
    text = done.snakemake("-c2", *words).stderr
    last = text.splitlines()[-1]
    assert last.startswith("results/studies/diverges/index.html: 3 of 5 runs are done, 1 diverged (")
    assert "learning rate" in last and last.endswith("1 not run")
    assert done.jobs(*words) == {}, "no call trains it again"
    page = (done.folder / "results/studies/diverges/index.html").read_text()
    assert "Try a lower optimizer.lr" in page


def test_a_failing_run_leaves_the_others_running_and_a_page_that_says_so(done):
    (done.folder / "bad.pt").write_text("no weights")
    lines = "title: one fails\ndataset: digits\nmodel: {name: resnet, blocks: [1], channels: [4]}\n"
    lines += "train: {epochs: 1}\ngrid: {points: [{checkpoint: null}, {checkpoint: bad.pt}]}\n"
    lines += "tables: [summary]\nfigures: []\n"
    (done.folder / "config/studies/fails.yaml").write_text(lines)
    failed = done.snakemake("-c2", "--retries", "1", "--config", "studies=fails", check=False)
    assert failed.returncode != 0
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("results/studies/fails/index.html: 3 of 5 runs are done, 1 failed (")
    # The terminal has a line a run; jobs with their commands stand in the log.
    told = failed.stderr
    assert re.search(r"^1/4  train +baseline +[\d.]+ % ", told, re.MULTILINE) and "localrule train:" not in told
    assert "failed: train bad.pt after" in told and "tried again: train bad.pt" in told
    assert re.search(r"^    log: results/runs/train/\S+/run.log\n      \| .* bad.pt: it is damaged", told, re.MULTILINE)
    assert "fails: best validation top-1 " in failed.stderr.splitlines()[-2]
    (kept,) = re.findall(r"Complete log\(s\): (\S+)", told)
    assert Path(kept).read_text().count("localrule train:") == 3
    (log,) = _logs(done, "bad.pt: it is damaged")
    assert "not tried again in this call" in log.read_text()
    assert not log.with_name("model.safetensors").exists()
    assert "bad.pt: it is damaged" in (done.folder / "results/studies/fails/index.html").read_text()


def test_a_call_whose_first_runs_fail_alike_is_stopped(done):
    (done.folder / "bad.pt").write_text("no weights")
    lines = "title: all fail\ndataset: digits\nmodel: {name: resnet, blocks: [1], channels: [4]}\n"
    lines += "checkpoint: bad.pt\ntrain: {epochs: 1}\nrepeats: 12\ntables: [summary]\nfigures: []\n"
    (done.folder / "config/studies/fails.yaml").write_text(lines)
    failed = done.snakemake("-c1", "--config", "studies=fails", "fail_fast=2", check=False)
    assert "fail_fast: the first 2 runs of this call have all failed alike" in failed.stderr
    assert len(list(_logs(done, "ERROR bad.pt: it is damaged"))) == 2


def _logs(repository, words: str):
    return [path for path in repository.folder.glob("results/runs/train/*/run.log") if words in path.read_text()]


@pytest.mark.slow
def test_a_search_asks_a_model_once_a_round(done):
    space = "space: {train.optimizer.lr: {log_uniform: [0.01, 1]}, train.batch_size: [32, 64]}\n"
    lines = "title: rounds\ndataset: digits\nmodel: {name: mlp, hidden: [8]}\ntrain: {epochs: 1}\ntables: [summary]\n"
    (done.folder / "config/studies/rounds.yaml").write_text(
        lines + space + "sample: {points: 2, rounds: 3, method: tpe}\n"
    )
    words = ("--config", "studies=rounds")
    told = done.snakemake("-n", *words).stderr
    assert "planned so far; when 2 runs of rounds have ended, tpe is asked for the 2 points of round 2" in told
    said = done.snakemake("-c2", *words).stderr
    assert "13 of 13 runs are done" in said.splitlines()[-1]
    answers = sorted((done.folder / "results/studies/rounds/answers").glob("*.json"))
    assert [path.name[:8] for path in answers] == ["round-2-", "round-3-"]
    assert all(not path.with_suffix(".log").read_text() for path in answers), "Optuna says nothing"
    assert done.jobs(*words) == {}
    rounds = [row.split(",")[3] for row in (done.folder / "results/studies/rounds/runs.csv").read_text().splitlines()]
    assert rounds == ["round", "1", "1", "2", "2", "3", "3"]


def test_the_better_half_is_trained_to_its_end_and_nothing_twice(done):
    halving = "halving: {epochs: [1, 2], keep: 1/2}\ntables: [halving]\n"
    (done.folder / "config/studies/rungs.yaml").write_text(HALVED + halving)
    (done.folder / "config/studies/whole.yaml").write_text(HALVED + "tables: [summary]\n")
    said = done.snakemake("-c2", *RUNGS).stderr
    assert "3 of 5 runs are done, 2 stopped" in said.splitlines()[-1] and "epoch 1  train" in said
    runs = [json.loads(path.read_text()) for path in (done.folder / "results/runs/train").glob("mlp*/run.json")]
    rates = {run["spec"]["train"].get("optimizer", {}).get("lr", 0.1) for run in runs}
    assert rates == {0.2}
    (answer,) = (done.folder / "results/studies/rungs/answers").glob("*.json")
    assert [each["kept"] for each in json.loads(answer.read_text())["candidates"]] == [False, True]
    assert done.jobs(*RUNGS) == {}
    # A full grid goes on from where the other was stopped, and has the rest.
    assert done.jobs(*WHOLE)["train"] == 1
    told = done.snakemake("-c2", *WHOLE).stderr
    assert told.count("  train ") == 1 and "5 of 5 runs are done" in told.splitlines()[-1]
    logs = [path.read_text() for path in (done.folder / "results/runs/train").glob("mlp*/run.log")]
    assert sum("resumed at epoch 2" in text for text in logs) == 2
    # Compared each by itself, what is complete is compared without a step.
    (done.folder / "config/studies/rungs.yaml").write_text(HALVED + halving.replace("keep: 1/2", "wait: false"))
    assert done.jobs(*RUNGS) == {"question": 1, "trial": 2, "answer": 1, **PAGE}
    said = done.snakemake("-c2", "--until", "answer", *RUNGS).stderr
    assert len(re.findall(r"epoch \d  train ", said)) == said.count("  train ") == 2
    assert done.jobs(*RUNGS) == PAGE
