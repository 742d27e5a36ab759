# Trainings that are compared before their end, and the answers that tell which of them go on.
import json

# The runs that some study asks for whole, which no rung pauses.
WHOLE = {
    run.name
    for study in PLAN.studies.values()
    if study.pending is None
    for point in study.kept
    for run in point.all_runs
}


def grow():
    """Plan again, with the answers that are there by now."""
    global PLAN, STANDING
    PLAN = build(SETTINGS.studies, Path("config/studies"), OVERRIDES)
    STANDING = Standing(PLAN)
    for known in (runs_shown, manifest_of, page_is_current):
        known.cache_clear()
    if CALL:
        for study in PLAN.studies:
            manifest.write(
                Path(f"results/studies/{study}/plan.json"), manifest_of(study)
            )


def settle(study):
    """Wait until a study's plan is whole: Snakemake makes the first answer that is missing, and comes here again."""
    while step := PLAN.studies[study].pending:
        # A study that compares others waits for theirs.
        checkpoints.answer.get(study=step.study, step=step.key)
        grow()


def paused_before(wildcards):
    """Input function: what a training needs to go on to a rung; the whole of it where a study asks for that too."""
    run = PLAN.runs["train"][wildcards.run]
    if run.name in WHOLE:
        record = f"{run.path}/run.json"
        return ancient(record) if STANDING.complete(run) else record
    return data_of("train")(wildcards) + networks_of("train")(wildcards)


rule rung:
    input:
        paused_before,
    output:
        "results/rungs/{run}/{epochs}.json",
    log:
        "results/rungs/{run}/{epochs}.log",
    priority: longest_first
    conda:
        "../../envs/train.yaml"
    threads: processes_of("train")
    resources:
        **over_nodes("train"),
        attempt=tried,
        checkpoint_minutes=10,
        runtime=0,
    params:
        command=command_of("train"),
    shell:
        "{params.command} --until {wildcards.epochs} --rung {output} --attempt {resources.attempt}"
        " --checkpoint-minutes {resources.checkpoint_minutes} --minutes {resources.runtime} 2> {log}"


def asked_of(wildcards):
    """Input function: the files that a study's open question reads."""
    pending = [one.pending for one in PLAN.studies.values() if one.pending]
    # One that is answered reads nothing any more.
    return next((step.files() for step in pending if step.key == wildcards.step), [])


checkpoint answer:
    input:
        asked_of,
    output:
        "results/studies/{study}/answers/{step}.json",
    log:
        "results/studies/{study}/answers/{step}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        config=json.dumps(config, sort_keys=True),
    shell:
        "python workflow/scripts/answer.py {wildcards.study} {wildcards.step} {output}"
        " --config <(printf %s {params.config:q}) 2> {log}"
