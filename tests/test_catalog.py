"""What the Snakemake workflow catalog asks of a repository that it lists."""

import re
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


def usage():
    return YAML(typ="safe").load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]


def test_the_file_has_the_keys_that_the_catalog_reads():
    assert set(usage()) == {"mandatory-flags", "software-stack-deployment"}
    assert set(usage()["mandatory-flags"]) == {"desc", "flags"}
    assert set(usage()["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda", "report"}


def test_the_repository_is_found_and_explained():
    words = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in words and "workflow" in words
    assert (ROOT / "config/README.md").exists() and RULES
    # Where there is a folder `workflow`, the catalog reads no Snakefile but the one in it; Snakemake prefers the other.
    assert (ROOT / "workflow/Snakefile").exists() and not (ROOT / "Snakefile").exists()


def test_conda_is_true_for_every_rule_that_runs_something():
    assert usage()["software-stack-deployment"]["conda"]
    for path in RULES:
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            if "shell:" in rule:
                (environment,) = re.findall(r'conda:\s+"([^"]+)"', rule)
                assert (path.parent / environment).exists(), f"{path.name}: {rule.partition(':')[0]}"


def test_a_report_can_be_made():
    assert usage()["software-stack-deployment"]["report"]
    captions = re.findall(r'caption="([^"]+)"', (ROOT / "workflow/rules/report.smk").read_text())
    assert captions and all((ROOT / "workflow/rules" / caption).exists() for caption in captions)
