"""What a call makes follows from the plan and the records: the table of docs/freshness.md, each case a real dry run."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.scripts_as_run import run

ROOT = Path(__file__).parents[2]
TINY = ("--config", "studies=tiny")
PAGE = {"outdated": 1, "page": 1}
ONE = {"train": 1, "evaluate": 1, "page": 1}


def first(repository, stage: str) -> Path:
    return sorted(repository.folder.glob(f"results/runs/{stage}/*"))[0]


def data(repository) -> Path:
    (path,) = repository.folder.glob("results/data/*.safetensors")
    return path


def without_snakemake(repository):
    shutil.rmtree(repository.folder / ".snakemake")


def touch(repository):
    later = time.time() + 60
    for path in (repository.folder / "results").rglob("*"):
        os.utime(path, (later, later))


def copy_data(repository):
    path = data(repository)
    path.rename(path.with_name("elsewhere"))
    shutil.copyfile(path.with_name("elsewhere"), path)


def edit(old: str, new: str):
    return lambda repository: repository.edit("config/studies/tiny.yaml", old, new)


more_rates = edit("[0.1, 0.05]", "[0.1, 0.05, 0.02]")
title = edit("title: The", "title: Another name for the")


def remove(stage: str, name: str = "", page: bool = True):
    def do(repository):
        path = first(repository, stage) / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not page:
            shutil.rmtree(repository.folder / "results/studies")

    return do


def remove_of_study(name: str):
    return lambda repository: (repository.folder / "results/studies/tiny" / name).unlink()


def both(*changes):
    return lambda repository: [change(repository) for change in changes]


CASES = {
    "nothing changed": (lambda repository: None, {}),
    "all results touched": (touch, {}),
    "prepared data copied": (copy_data, {}),
    "prepared data removed": (lambda repository: data(repository).unlink(), {}),
    "prepared data removed, an axis value added": (
        both(lambda repository: data(repository).unlink(), more_rates),
        {"prepare": 1, **ONE},
    ),
    ".snakemake removed": (without_snakemake, {}),
    ".snakemake removed, an axis value added": (both(without_snakemake, more_rates), ONE),
    ".snakemake removed, the title edited": (both(without_snakemake, title), PAGE),
    "an axis value added": (more_rates, ONE),
    "the title edited": (title, PAGE),
    "a table added": (edit("tables: [", "tables: [best, "), PAGE),
    "a training removed": (remove("train"), {"train": 1, "page": 1}),
    "a training and the page removed": (remove("train", page=False), {"train": 1, "page": 1}),
    "an evaluation removed": (remove("evaluate"), {"evaluate": 1, "page": 1}),
    "an evaluation and the page removed": (remove("evaluate", page=False), {"evaluate": 1, "page": 1}),
    "run.json of a training removed": (remove("train", "run.json"), {"train": 1, "page": 1}),
    "weights removed, which no run to be made reads": (remove("train", "model.safetensors"), {}),
    "plan.json removed": (remove_of_study("plan.json"), {}),
    "page.json removed": (remove_of_study("page.json"), PAGE),
    "index.html removed": (remove_of_study("index.html"), {"page": 1}),
}


SLOW = (
    "nothing changed",
    "prepared data copied",
    ".snakemake removed",
    "an axis value added",
    "the title edited",
    "a training and the page removed",
    "an evaluation removed",
    "an evaluation and the page removed",
    "weights removed, which no run to be made reads",
    "plan.json removed",
    "index.html removed",
)
"""Cases of which a neighbour says nearly the same: of the first, a second call in test_workflow.py."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in CASES]
)
def test_a_change_plans_what_it_needs(finished, tmp_path, case):
    change, expected = CASES[case]
    repository = finished.copy(tmp_path / "copy")
    change(repository)
    assert repository.jobs(*TINY) == expected


WORDS = {
    "more repeats": (("repeats=2",), {"train": 2, "evaluate": 2, "page": 1}),
    "a setting": (("train={epochs: 3}",), {"train": 2, "evaluate": 2, "page": 1}),
    "--forcerun": (("--forcerun", "train"), {"train": 2}),
    "--forcerun prepare": (("--forcerun", "prepare"), {"prepare": 1}),
    "--until": (("repeats=2", "--until", "train"), {"train": 2}),
    "--batch, the last": (("repeats=2", "--batch", "page=2/2"), {"train": 2, "evaluate": 2, "page": 1}),
}


@pytest.mark.parametrize("case", WORDS)
def test_words_of_the_command_line_plan_what_they_say(finished, case):
    words, expected = WORDS[case]
    assert finished.jobs(*TINY, *words) == expected


def test_the_first_batch_of_a_fresh_study_is_its_part(planned):
    assert planned.jobs(*TINY, "--batch", "page=1/2") == {"prepare": 1, "train": 1, "evaluate": 1}


def test_results_in_another_clone_are_taken_as_they_are(finished, fresh, tmp_path):
    other = fresh(tmp_path / "other")
    subprocess.run(["cp", "-r", finished.folder / "results", other.folder / "results"], check=True)
    assert other.jobs(*TINY) == {}


def test_another_study_shares_the_runs(finished, tmp_path):
    repository = finished.copy(tmp_path / "copy")
    text = (repository.folder / "config/studies/tiny.yaml").read_text()
    (repository.folder / "config/studies/other.yaml").write_text(text.replace("[0.1, 0.05]", "[0.1, 0.2]"))
    assert repository.jobs("--config", "studies=tiny,other") == ONE


def test_touch_completes_no_run_that_is_missing(finished, tmp_path):
    repository = finished.copy(tmp_path / "copy")
    remove("evaluate")(repository)
    repository.snakemake("-c1", "--touch", *TINY, check=False)
    assert repository.jobs(*TINY) == {"evaluate": 1, "page": 1}


def flip(path: Path, place: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def without_weights(repository):
    for path in repository.folder.glob("results/runs/train/*/model.safetensors"):
        path.unlink()


def other_data(repository):
    """Prepared anew with other images: another checksum under the same name."""
    path = data(repository)
    other = path.with_name("other-00000000aa.safetensors")
    assert run("prepare", other, "dataset={name: digits, image_size: 9}").returncode == 0
    other.replace(path)


REFUSED = {
    "metrics.csv damaged": (lambda repository: flip(first(repository, "train") / "metrics.csv"), "metrics.csv: it is"),
    "metrics.csv removed": (remove("evaluate", "metrics.csv"), "metrics.csv: it cannot be read"),
    "run.json damaged": (
        lambda repository: flip(first(repository, "train") / "run.json", -20),
        "run.json: it is damaged",
    ),
    "data prepared with others": (other_data, "it was made of other data than"),
    "weights removed, which a run to be made reads": (
        both(remove("evaluate"), without_weights),
        r"model\.safetensors: is gone, and results/runs/evaluate/",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_named_with_its_mend(finished, tmp_path, case):
    change, message = REFUSED[case]
    repository = finished.copy(tmp_path / "copy")
    change(repository)
    done = repository.snakemake("-n", *TINY, check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0 and re.search(message, text), text
    assert "espalier forget" in text and "Traceback" not in text and "Job stats" not in text


def test_forgetting_what_is_stale_makes_it_again(finished, tmp_path):
    repository = finished.copy(tmp_path / "copy")
    other_data(repository)
    command = [sys.executable, "-m", "espalier", "forget", "--stale", "--config", "studies=tiny"]
    told = subprocess.run(command, cwd=repository.folder, capture_output=True, text=True, check=True).stdout
    assert told.count("forgotten: ") == 4
    assert repository.jobs(*TINY) == {"train": 2, "evaluate": 2, "page": 1}


def test_the_page_of_documentation_has_every_case():
    text = (ROOT / "docs/freshness.md").read_text()
    assert [case for case in (*CASES, *WORDS, *REFUSED) if f"| {case} |" not in text] == []


def test_the_page_says_of_what_it_was_made(finished):
    told = json.loads((finished.folder / "results/studies/tiny/page.json").read_text())
    assert len(told["runs"]) == 4 and all(told["runs"].values())
