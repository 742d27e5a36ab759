# Espalier: from one YAML study to tables, figures and a report. Table of contents.
#   snakemake -n        the plan, and what is dear     espalier status      done, running, failed, waiting
#   snakemake -c4       run the configured studies     espalier partial     tables and figures of what exists so far
#   snakemake report    results/report.zip             snakemake preview   augmented samples of every policy
#   snakemake zoo       what every network costs       snakemake mlflow    finished runs in one MLflow store
#   --profile profiles/slurm   the same on a cluster
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/freshness.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/settled.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/extend.smk"
include: "workflow/rules/prune.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/quantize.smk"
include: "workflow/rules/encode.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/zoo.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/terminal.smk"
include: "workflow/rules/preview.smk"
include: "workflow/rules/preflight.smk"
include: "workflow/rules/mlflow.smk"
include: "workflow/rules/preload.smk"


rule all:
    default_target: True
    input:
        study_pages(),
        to_make,
