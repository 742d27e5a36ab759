import gc
import os
import shlex
import sys
from pathlib import Path

REPOSITORY = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]

# The interpreter that runs Snakemake runs the scripts, also where no environment is activated.
os.environ.update(
    PATH=os.pathsep.join(
        [
            str(Path(sys.executable).parent),
            str(REPOSITORY / "profiles/slurm/bin"),
            *os.get_exec_path(),
        ]
    )
)
# The library of this folder, installed or not, here and in every job.
sys.path.insert(0, str(REPOSITORY))
elsewhere = dict(os.environ).get("PYTHONPATH", "").split(os.pathsep)
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [str(REPOSITORY), *(one for one in elsewhere if one and one != str(REPOSITORY))]
    )
)

# The time of a cluster job counts from its first Snakemake, which starts the one that starts the run. Until it comes
# here it has taken seconds, on a slow node many.
if not workflow.is_main_process:
    import psutil

    os.environ.setdefault("ESPALIER_JOB_STARTED", str(psutil.Process().create_time()))

from snakemake.exceptions import WorkflowError

from espalier.counted import counted
from espalier.errors import Mistake
from espalier.settings import plugins, registry

# Before the rest of the library: what may be named in a study is fixed when it is imported.
try:
    if "plugins" in config:
        plugins.use(config["plugins"])
    registry.check()
except Mistake as mistake:
    raise WorkflowError(f"mistakes in what is registered:\n{mistake}") from None

from espalier.plan import config as configuration
from espalier.plan import expensive_trainings, manifest
from espalier.plan.build import build
from espalier.plan.plan_records import PlanRecords
from espalier.settings.problems import StudyError
from espalier.runs import owner
from espalier.site import device, earlier_jobs, fail_fast
from espalier.stages import STAGES
from espalier.stages.frame.stage_run import section

os.environ.update(device.ALLOCATOR)

# What Snakemake keeps of a job it keeps to its end: looking for garbage at every 700 objects is an eighth of a dry run.
gc.set_threshold(50_000)


wildcard_constraints:
    number=r"\d+",
    run=r"[^/]+-[0-9a-f]{10}",
    step=r"[\w-]+-[0-9a-f]{10}",
    epochs=r"\d+",
    trial=r"trial-[0-9a-f]{10}",
    study=r"[^/]+",


if not REPOSITORY.samefile(Path.cwd()):
    raise WorkflowError(
        f"paths of results and scripts are relative: run snakemake in {REPOSITORY}"
    )

try:
    SETTINGS, OVERRIDES = configuration.read(config)
    PLAN = build(SETTINGS.studies, Path("config/studies"), OVERRIDES)
except StudyError as error:
    raise WorkflowError(
        f"{counted(len(error.problems), 'mistake')} before any job:\n{error}"
    ) from None
CALL = None
if workflow.is_main_process:
    print(PLAN.summary(), file=sys.stderr)
    CALL = earlier_jobs.executor(sys.argv[1:])
    tell = lambda line: print(line, file=sys.stderr, flush=True)
    if CALL == "slurm":
        earlier_jobs.wait(Path.cwd(), tell)
    if CALL:
        unmade = [Path(run.path) for run in PlanRecords(PLAN).unmade() if run.parent]
        owner.await_all(unmade, tell)

# What lies on disk is told by records alone, and read once nobody of an earlier call is at work.
RECORDS = PlanRecords(PLAN)
if workflow.is_main_process and RECORDS.problems:
    raise WorkflowError(RECORDS.message())
if CALL or workflow.output_settings.dryrun:
    if warning := expensive_trainings.warning(RECORDS.unmade()):
        print(warning, file=sys.stderr)


# No params of a rule: what looks on from outside makes no run anew.
if SETTINGS.tracking:
    os.environ.update(ESPALIER_TRACKERS=",".join(SETTINGS.tracking))
if not SETTINGS.keep_ends:
    os.environ.update(ESPALIER_KEEP_ENDS="0")


include: "pilot.smk"


def record_of(stage):
    """What every run of a stage writes last; of its other files this record tells."""
    return f"results/runs/{stage}/{{run}}/run.json"


def to_read(run, before):
    """Those runs before a run that its job waits for: all, or of a complete run only what is there, so that none is
    made for it."""
    return [
        each for each in before if RECORDS.complete(each) or not RECORDS.complete(run)
    ]


def data_of(stage):
    """Input function: the prepared data set at the head of a run's chain."""

    def files(wildcards):
        run = PLAN.runs[stage][wildcards.run]
        return [ancient(each.path) for each in to_read(run, [run.data])]

    return files


def networks_of(stage):
    """Input function: the record of each run that a run may read, its teacher's too. Weights of a user's own that it
    starts from are none: they are there when the plan is made, and what lies under results/ Snakemake would make.
    """

    def files(wildcards):
        run = PLAN.runs[stage][wildcards.run]
        return [ancient(f"{each.path}/run.json") for each in to_read(run, run.before)]

    return files


def command_of(stage):
    """Params function: the command line that makes a run."""
    return lambda wildcards: shlex.join(PLAN.runs[stage][wildcards.run].command)


def attempt_number(wildcards, attempt):
    """Resources function: which attempt of this call at a run it is."""
    return attempt


def processes_of(stage):
    """Threads function: the processes that train one network together."""
    return lambda wildcards: getattr(
        section(STAGES[stage], PLAN.runs[stage][wildcards.run].spec), "processes", 1
    )


def over_nodes(stage):
    """Resources of a SLURM job whose nodes share a run's processes; none of them where it has one node."""

    def training(run):
        return section(STAGES[stage], run.spec)

    # Snakemake asks for each of them several times a job.
    if all(
        getattr(training(run), "nodes", 1) == 1 for run in PLAN.runs[stage].values()
    ):
        return {}

    def where_several(of):
        def value(wildcards):
            train = training(PLAN.runs[stage][wildcards.run])
            return of(train) if train.nodes > 1 else None

        return value

    profile = workflow.resource_settings.overwrite_resources.get(stage, {})
    kind = profile["gpu_model"].raw + ":" if "gpu_model" in profile else ""
    return {
        "nodes": where_several(lambda train: train.nodes),
        # The script starts a step on each node; the plugin would start one on the first.
        "mpi": where_several(lambda train: "srun"),
        "tasks": where_several(lambda train: train.nodes),
        "tasks_per_gpu": where_several(lambda train: 0),
        # SLURM gives four GPUs of two nodes as three and one.
        "slurm_extra": where_several(
            lambda train: (
                f"--gpus-per-node={kind}{train.processes // train.nodes}"
                if "gpu" in profile
                else None
            )
        ),
    }


def study_plans():
    """The index of every study: id → settings; written before the first job."""
    return [f"results/studies/{study}/plan.json" for study in PLAN.studies]


if CALL and SETTINGS.fail_fast:
    fail_fast.watch(
        SETTINGS.fail_fast,
        Path("results"),
        stop=lambda: workflow.scheduler.exit_gracefully(),
    )
