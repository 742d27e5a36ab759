"""What a user sees before any job."""

import re

import pytest
from ruamel.yaml import YAML


def test_a_dry_run_prints_the_plan_before_the_jobs(listing):
    found = re.search(r"plan: (\d+) runs asked, (\d+) unique after sharing \((.+)\)", listing)
    asked, unique, stages = found.groups()
    runs = {stage: int(count) for stage, count in (part.split() for part in stages.split(", "))}
    assert list(runs) == ["prepare", "train", "prune", "quantize", "export", "encode", "evaluate"]
    assert runs["train"] >= 16 and runs["evaluate"] == sum(runs[stage] for stage in ("train", "prune", "encode"))
    assert int(asked) > int(unique) == sum(runs.values())
    assert listing.index("plan:") < listing.index("Job stats") < listing.index("To make, by configuration")
    assert re.search(r"^  AdamW +train 3, evaluate 3 +evaluate/resnet-adamw-s0-", listing, re.MULTILINE)
    assert len(listing.splitlines()) < 60 and "rule train:" not in listing, "jobs are listed with -p"


def test_a_bad_study_ends_before_any_job(repository):
    repository.edit("config/studies/demo.yaml", "scheduler: one_cycle", "scheduler: one_cyle")
    done = repository.snakemake("-c1", check=False)
    text = done.stderr + done.stdout
    assert done.returncode != 0
    assert "config/studies/demo.yaml:" in text and "did you mean 'one_cycle'?" in text
    assert "Job stats" not in text and "Traceback" not in text
    assert not any((repository.folder / "results").glob("**/*")), "no output, not even a half-written one"


def test_overrides_keep_their_types_through_the_command_line(planned):
    words = (
        "repeats=2",
        "train={epochs: 2, optimizer: {name: sgd, lr: 1e-3}}",
        "seed=7",
        "grid=[]",
        "tables=[]",
        "figures=[]",
        "fine_tune={epochs: 3}",
        "preload=false",
        "fail_fast=null",
    )
    done = planned.snakemake("-n", "-p", "--config", "studies=demo.yaml", *words)
    text = done.stdout + done.stderr
    assert "train.epochs=2" in text and "train.optimizer.lr=0.001" in text and "seed=8" in text
    assert "warning: study demo: --config: fine_tune.epochs: does nothing, since no chain of the study reads it" in text


@pytest.mark.parametrize("words", [("--config", "study=demo"), ("--config", "studies=dmo"), ("--config", "repeats=x")])
def test_a_mistyped_override_is_one_clear_error(planned, words):
    done = planned.snakemake("-n", *words, check=False)
    assert done.returncode != 0
    assert "1 mistake before" in done.stderr + done.stdout


@pytest.mark.parametrize("flag", ["--profile", "--workflow-profile"])
def test_the_slurm_profile_plans_the_same_runs_as_gpu_jobs(planned, listing, flag):
    done = planned.snakemake("-n", "-p", flag, "profiles/slurm")
    text = done.stdout
    assert planned.listed(text + done.stderr) == planned.listed(listing)
    job = next(block for block in text.split("\n\n") + text.split("\n[") if "rule train:" in block)
    assert re.search(r"resources: .*gpu=1", job) and "slurm_partition=gpu" in job and "slurm_account=" in job


def test_only_runs_on_several_nodes_ask_slurm_for_them(planned):
    words = ("--profile", "profiles/slurm", "--config", "studies=tiny", "train={epochs: 2, processes: 4}")
    asked = {}
    for nodes in ("1", "1, 2"):
        text = planned.snakemake("-n", "-p", *words, f"grid={{product: {{train.nodes: [{nodes}]}}}}").stdout
        lines = re.findall(r"rule train:.*?resources: ([^\n]*)", text, re.DOTALL)
        asked[nodes] = {frozenset(line.split(", ")) for line in lines}
    (one,) = asked["1"]
    assert not {resource.split("=")[0] for resource in one} & {"nodes", "mpi", "tasks", "tasks_per_gpu", "slurm_extra"}
    (two,) = asked["1, 2"] - {one}
    assert len(asked["1, 2"]) == 2
    assert two - one == {"nodes=2", "mpi=srun", "tasks=2", "tasks_per_gpu=0", "slurm_extra=--gpus-per-node=2"}


def test_the_site_edits_at_most_six_lines(repository):
    text = (repository.folder / "profiles/slurm/config.yaml").read_text()
    assert 1 <= text.count("# SITE") <= 6


def test_what_both_profiles_say_is_the_same(repository):
    """The default profile is read beside every other one, and would win."""
    default, slurm = (
        YAML(typ="safe", pure=True).load((repository.folder / f"profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    )
    shared = set(default) & set(slurm)
    assert shared
    assert {key: default[key] for key in shared} == {key: slurm[key] for key in shared}


def test_every_profile_entry_has_its_reason(repository):
    for profile in (repository.folder / "profiles").glob("*/config.yaml"):
        blocks = [block for block in profile.read_text().split("\n\n") if re.search(r"^[\w-]+:", block, re.MULTILINE)]
        assert blocks
        for block in blocks:
            assert block.lstrip().startswith("#"), f"{profile}: no reason above\n{block}"


def test_nothing_at_parse_time_imports_torch(planned, tmp_path):
    repository = planned.copy(tmp_path / "copy")
    snakefile = repository.folder / "Snakefile"
    snakefile.write_text(snakefile.read_text() + "\nimport sys\nassert 'torch' not in sys.modules\n")
    repository.snakemake("-n")
