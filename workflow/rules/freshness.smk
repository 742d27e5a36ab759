# Which runs and pages a call makes, told from the plan, the records and page.json: docs/freshness.md has the cases.
from functools import cache
from types import SimpleNamespace

from espalier.results.page import freshness
from espalier.results.study_outputs import captions, files_read


@cache
def runs_shown(study):
    """The runs of a study that no other reads, and others to be made that Snakemake would not come to from these."""
    if PLAN.studies[study].pending:
        return []
    points = PLAN.studies[study].kept
    runs = {run for point in points for run in point.all_runs if run.parent}
    # --batch cuts this list: the ends of chains alone are cut into equal parts, whatever is made already.
    read = {each for run in runs for each in (run.parent, run.teacher, *run.branches)}
    unmade = {run for run in runs if not RECORDS.complete(run)}
    reached = {each for run in unmade for each in run.before}
    return sorted(runs - read | unmade - reached, key=lambda run: run.path)


def study_runs(wildcards):
    """Input function: the records of the runs that a page needs, once it is known which these are."""
    settle(wildcards.study)
    files = {f"{run.path}/run.json": run for run in runs_shown(wildcards.study)}
    return [
        ancient(file) if RECORDS.complete(run) else file for file, run in files.items()
    ]


@cache
def manifest_of(study):
    """A study's plan.json as data."""
    return manifest.manifest(PLAN.studies[study])


@cache
def page_is_current(study):
    """Whether the page of a study was made from the plan and the records that are there now."""
    runs = {
        run.id: RECORDS.record(run)
        for run in PLAN.studies[study].runs.values()
        if run.parent
    }
    made = freshness.made_from(manifest_of(study), runs)
    return freshness.current(Path(f"results/studies/{study}"), made)


def outdated(wildcards):
    """Input function: what has a page made anew though it is there, and all its runs are; else nothing."""
    folder = Path(f"results/studies/{wildcards.study}")
    whole = all(map(RECORDS.complete, runs_shown(wildcards.study)))
    if not (workflow.is_main_process and whole and (folder / "index.html").exists()):
        return []
    if page_is_current(wildcards.study):
        return []
    # One that a killed call has left is older than half-written tables; the next one is not there.
    return f"{folder}/outdated{len([*folder.glob('outdated*')])}"


def to_make(wildcards):
    """Input function: what Snakemake would not miss, since the pages that read it are there: runs, and news of them."""
    batch = workflow.dag_settings.batch
    if batch and batch.rulename != "page":
        batch = None
    found = []
    for study in PLAN.studies:
        if Path(f"results/studies/{study}/index.html").exists():
            runs = {f"{run.path}/run.json": run for run in runs_shown(study)}
            asked = batch.get_batch(list(runs)) if batch else runs
            found += [file for file in asked if not RECORDS.complete(runs[file])]
            if batch is None or batch.is_final:
                found += (
                    [news] if (news := outdated(SimpleNamespace(study=study))) else []
                )
    return found


def counts_read(wildcards):
    """Input function: the counts of the zoo and published numbers, where tables or figures of a study read them."""
    return [ancient(file) for file in files_read(manifest_of(wildcards.study))]


def captions_of(kind):
    """Params function: the captions of a study's tables or figures, which the report shows."""
    return lambda wildcards: {
        key: caption.whole()
        for key, caption in captions(manifest_of(wildcards.study), kind).items()
    }


def titled(kind):
    """Labels function: the title of one table or figure, under which the report lists it."""
    return lambda wildcards: {
        kind: captions(manifest_of(wildcards.study), kind)[wildcards[kind]].title
    }


def study_pages():
    """The two pages of every study."""
    return [
        f"results/studies/{study}/{page}.html"
        for study in PLAN.studies
        for page in ("index", "explore")
    ]


# Before the first job, so that status and partial can look at any moment.
if CALL:
    for study in PLAN.studies:
        folder = Path(f"results/studies/{study}")
        manifest.write(folder / "plan.json", manifest_of(study))
        if not page_is_current(study):
            freshness.mark_old(folder)
