"""A teacher that stands in no chain: made once, before its students, and shown."""

import csv
import json

import pytest

STUDY = """
title: Two students of one teacher
dataset: digits
model: {name: mlp, hidden: [8]}
train: {epochs: 1}
grid: {product: {train.teacher: {T2: {model: {hidden: [32]}, temperature: 2}, T4: {model: {hidden: [32]}}}}}
tables: [summary]
"""
TAUGHT = ("--config", "studies=taught")


@pytest.fixture
def asked(repository):
    (repository.folder / "config/studies/taught.yaml").write_text(STUDY)
    return repository


def test_a_dry_run_has_the_teacher_once(asked):
    found = asked.jobs(*TAUGHT)
    assert {name: found[name] for name in ("prepare", "train", "evaluate")} == {"prepare": 1, "train": 3, "evaluate": 2}


@pytest.mark.slow
def test_its_students_wait_for_it_and_its_page_counts_it(asked):
    asked.snakemake("-c2", *TAUGHT)
    records = [json.loads(path.read_text()) for path in asked.folder.glob("results/runs/train/*/run.json")]
    (teacher,) = (record for record in records if "teacher" not in record)
    assert [record["teacher"] for record in records if record is not teacher] == 2 * [teacher["run"]]
    rows = list(csv.DictReader((asked.folder / "results/studies/taught/runs.csv").open()))
    assert [(row["label.train.teacher"], row["state"]) for row in rows] == [("T2", "done"), ("T4", "done")]
    assert asked.jobs(*TAUGHT) == {}
    # A run that only the teacher's students read is made again with them alone.
    for record in records:
        if record is not teacher:
            (path,) = asked.folder.glob(f"results/runs/train/*-{record['run']}/run.json")
            path.unlink()
    assert asked.jobs(*TAUGHT)["train"] == 2
