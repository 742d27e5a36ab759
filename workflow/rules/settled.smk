# How a plan grows: a study asks something of results, and goes on with the answer.
from collections import Counter


@cache
def whole():
    """Names of the runs that some study asks for whole, which no rung pauses."""
    studies = PLAN.studies.values()
    points = [
        point for study in studies if study.pending is None for point in study.kept
    ]
    return {run.name for point in points for run in point.all_runs}


def grow():
    """Plan again, with the answers that are there by now."""
    global PLAN, RECORDS
    PLAN = build(SETTINGS.studies, Path("config/studies"), OVERRIDES)
    RECORDS = PlanRecords(PLAN)
    for known in (runs_shown, manifest_of, page_is_current, whole):
        known.cache_clear()
    if CALL:
        for study in PLAN.studies:
            manifest.write(
                Path(f"results/studies/{study}/plan.json"), manifest_of(study)
            )
        studies = PLAN.studies.values()
        left = {run for one in studies for point in one.kept for run in point.all_runs}
        unmade = Counter(run.stage for run in RECORDS.unmade() if run in left)
        for each in CALL_REPORTS:
            each.update_plans([manifest_of(study) for study in PLAN.studies], unmade)


def settle(study):
    """Wait until a study's plan is whole: Snakemake makes the first answer that is missing, and comes here again."""
    while question := PLAN.studies[study].pending:
        # A study that compares others waits for theirs.
        checkpoints.answer.get(study=question.study, step=question.key)
        grow()


def paused_before(wildcards):
    """Input function: what a training needs to go on to a rung; the whole of it where a study asks for that too."""
    run = PLAN.runs["train"][wildcards.run]
    if run.name in whole():
        record = f"{run.path}/run.json"
        return ancient(record) if RECORDS.complete(run) else record
    return data_of("train")(wildcards) + networks_of("train")(wildcards)


def pending():
    """The open questions of all studies."""
    return [one.pending for one in PLAN.studies.values() if one.pending]


def question_path(wildcards):
    """Params function: the file that tells trainings of one another."""
    trials = (one for one in pending() if getattr(one, "trial_key", None))
    return next(
        (str(one.question_path) for one in trials if one.trial_key == wildcards.trial),
        "",
    )


def question_of(wildcards):
    """Input function: that file; others that are compared later make no trial anew."""
    return [ancient(path) for path in [question_path(wildcards)] if path]


def answered_files(wildcards):
    """Input function: the files that a study's open question reads."""
    # One that is answered reads nothing any more.
    return next((one.files() for one in pending() if one.key == wildcards.step), [])
