"""What the workflow's files must hold: one Snakefile, an environment for every rule, captions for the report."""

import re
from pathlib import Path

from ruamel.yaml import YAML

from espalier.stages import STAGES

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


def test_one_snakefile_stands_at_the_top_and_holds_the_rule_all():
    """A Snakefile that only includes another finds nothing to do, so there is no other."""
    assert "rule all:" in (ROOT / "Snakefile").read_text() and not (ROOT / "workflow/Snakefile").exists()


def test_conda_is_true_for_every_rule_that_runs_something():
    for path in RULES:
        for rule in re.split(r"^(?:rule|checkpoint) ", path.read_text(), flags=re.MULTILINE)[1:]:
            if "shell:" in rule:
                (environment,) = re.findall(r'conda:\s+"([^"]+)"', rule)
                assert (path.parent / environment).exists(), f"{path.name}: {rule.partition(':')[0]}"


def test_a_report_can_be_made():
    captions = re.findall(r'caption="([^"]+)"', (ROOT / "workflow/rules/report.smk").read_text())
    assert captions and all((ROOT / "workflow/rules" / caption).exists() for caption in captions)


def test_the_stages_that_are_worth_a_gpu_ask_the_cluster_for_one():
    profile = YAML(typ="safe", pure=True).load((ROOT / "profiles/slurm/config.yaml").read_text())
    asking = {rule for rule, resources in profile["set-resources"].items() if "gpu" in resources}
    # A rung is a training that pauses, a trial one that may end itself.
    assert asking == {"rung", "trial"} | {stage.name for stage in STAGES.values() if stage.gpu}


def test_every_stage_has_a_rule_that_names_nothing_else():
    for name in STAGES:
        rule = (ROOT / f"workflow/rules/{name}.smk").read_text()
        assert rule.count("rule ") == 1 and f"rule {name}:" in rule
        assert set(re.findall(r'_(?:of|nodes)\("(\w+)"\)', rule)) == {name}
