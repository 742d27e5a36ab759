"""Checks of a SLURM cluster against what a profile asks of it."""

import getpass
import os
import re
from collections.abc import Iterator
from datetime import datetime
from importlib import metadata

from espalier.site.preflight import slurm
from espalier.site.preflight.finding import Finding, doubtful, right, wrong
from espalier.site.preflight.profile import Profile, Request

PLUGIN = "snakemake-executor-plugin-slurm"
MIN_JOB_AGE_S = 300
"""Jobs are looked at as seldom as every 180 s, and one that squeue has forgotten by then is waited for for ever."""
CLOCK_S = 30.0


def findings(profile: Profile) -> Iterator[Finding]:
    """What is right and wrong of the site for this profile, in the order in which it would stop the user."""
    try:
        metadata.version(PLUGIN)
    except metadata.PackageNotFoundError:
        yield wrong(f"{PLUGIN} is not installed in this environment", "uv sync")
    if "SLURM_JOB_ID" in os.environ:
        fact = f"this shell is inside SLURM job {os.environ['SLURM_JOB_ID']}, whose variables confuse the jobs it sends"
        yield doubtful(fact, "call Snakemake outside of jobs, or by `sbatch profiles/slurm/driver.sbatch`")
    try:
        slurm.ask("sbatch", "--version")
        site, partitions, nodes = slurm.settings(), slurm.partitions(), slurm.nodes()
    except slurm.Silent as error:
        yield wrong(f"SLURM does not answer: {error}", "log in to a node of the cluster from which jobs are submitted")
        return
    yield right(f"SLURM {site.get('SLURM_VERSION', '')} of {site.get('ClusterName', '')} answers")
    yield from of_profile(profile)
    yield from of_controller(site)
    requests = profile.requests()
    for request in requests:
        yield from of_partition(request, site, partitions)
        yield from of_nodes(request, nodes)
    yield from of_accounts(requests, site, partitions)


def of_profile(profile: Profile) -> Iterator[Finding]:
    """Keys that keep the defects of the plugin away."""
    keys = profile.keys
    if keys.get("slurm-status-command") != "squeue":
        fact = f"{profile.path}: jobs are followed by sacct, and one cancelled from outside is waited for for ever"
        yield wrong(fact, "slurm-status-command: squeue")
    if keys.get("slurm-requeue") is not True:
        fact = f"{profile.path}: jobs of a dead node are queued by SLURM and by Snakemake, and run twice"
        yield wrong(fact, "slurm-requeue: true")
    if keys.get("slurm-array-jobs"):
        fact = f"{profile.path}: job arrays report good results as failed, which are then deleted"
        yield wrong(fact, "take slurm-array-jobs out")
    for request in profile.requests():
        if "--signal" in request.extra:
            fact = f"{profile.path}: {request.rules}: --signal ends Snakemake inside the job, and with it the run"
            yield wrong(fact, "take it out of slurm_extra; runs stop by themselves before `runtime` is over")


def of_controller(site: dict[str, str]) -> Iterator[Finding]:
    age = slurm.seconds(site.get("MinJobAge", "0"))
    if age < MIN_JOB_AGE_S:
        fact = f"MinJobAge is {age} s: jobs may be forgotten before Snakemake has seen their end, and it waits for ever"
        yield wrong(fact, f"ask the administrators for MinJobAge={MIN_JOB_AGE_S} or more (SLURM's default)")
    else:
        yield right(f"MinJobAge is {age} s")
    if "now" in site:
        ahead = (datetime.fromisoformat(site["now"]) - datetime.now()).total_seconds()
        if abs(ahead) > CLOCK_S:
            fact = f"the controller's clock is {ahead:+.0f} s from this machine's"
            yield wrong(fact, "have both set by NTP (see `chronyc tracking`)")


def of_partition(request: Request, site: dict[str, str], known: dict[str, dict[str, str]]) -> Iterator[Finding]:
    """Whether the partition is there, open, and allows the time and memory asked for."""
    partition = request.partition or next((name for name, row in known.items() if row.get("Default") == "YES"), None)
    if partition is None:
        yield wrong(f"{request.rules}: no partition is named, and the site has no default", "set slurm_partition")
        return
    for name in partition.split(","):
        if name not in known:
            fact = f"{request.rules}: there is no partition {name!r}"
            yield wrong(fact, f"set slurm_partition to one of {', '.join(sorted(known))}")
            continue
        row = known[name]
        if row.get("State") != "UP":
            fact = f"{request.rules}: partition {name} is {row.get('State')}"
            yield wrong(fact, "set slurm_partition to another, or wait until it is UP")
        end = "wait for ever" if site.get("EnforcePartLimits", "NO") == "NO" else "be refused"
        longest = slurm.minutes(row.get("MaxTime", ""))
        if over := _over(request.minutes, longest):
            fact = f"{request.rules}: runtime {over} is above MaxTime {longest:.0f} of {name}: it would {end}"
            yield wrong(fact, f"runtime: min({longest:.0f}, …); a run that is stopped goes on at the next attempt")
        memory = row.get("MaxMemPerNode", "UNLIMITED")
        if memory.isdecimal() and (over := _over(request.mem_mb, int(memory))):
            fact = f"{request.rules}: mem_mb {over} is above MaxMemPerNode {memory} of {name}: it would {end}"
            yield wrong(fact, f"mem_mb: min({memory}, …)")
        if "CANCEL" in row.get("PreemptMode", "") and site.get("PreemptType", "preempt/none") != "preempt/none":
            fact = f"{request.rules}: preemption ends jobs of {name} for good, and Snakemake waits for them for ever"
            yield wrong(fact, "set slurm_partition to one whose PreemptMode is REQUEUE or OFF")


def of_nodes(request: Request, nodes: list[slurm.Node]) -> Iterator[Finding]:
    """Whether some node of the partition has the memory and the GPUs, by the name that they are asked for."""
    here = [node for node in nodes if request.partition is None or node.partition in request.partition.split(",")]
    if not here:
        return
    most = max(node.memory_mb for node in here)
    if over := _over(request.mem_mb, most):
        fact = f"{request.rules}: mem_mb {over} is more than any node of {request.partition} has ({most})"
        yield wrong(fact, f"mem_mb: min({most}, …)")
    if not request.gpus:
        return
    kinds = sorted({kind for node in here for kind in node.gpus if kind})
    if not any(node.gpus for node in here):
        with_gpus = ", ".join(sorted({node.partition for node in nodes if node.gpus})) or "none"
        fact = f"{request.rules}: no node of {request.partition} has a GPU"
        yield wrong(fact, f"set slurm_partition to one with GPUs: {with_gpus}")
        return
    model = request.gpu_model
    if model and not re.fullmatch(r"[\w.]+", model):
        mend = f'slurm_extra: "--gpus-per-node={model}:{request.gpus}" in place of gpu and gpu_model, or a constraint'
        yield wrong(f"{request.rules}: gpu_model {model!r}: the plugin takes letters, digits, _ and . alone", mend)
    elif model and model not in kinds:
        fact = f"{request.rules}: gpu_model {model!r} is no type of GPU of {request.partition}"
        yield wrong(fact, f"set gpu_model to one of {', '.join(kinds)}" if kinds else "take gpu_model out")
    else:
        most = max((node.gpus.get(model, 0) if model else sum(node.gpus.values())) for node in here)
        if request.gpus > most:
            fact = f"{request.rules}: gpu {request.gpus} is more than any node of {request.partition} has ({most})"
            yield wrong(fact, "ask for fewer GPUs")


def of_accounts(requests: list[Request], site: dict[str, str], known: dict[str, dict[str, str]]) -> Iterator[Finding]:
    """Whether the user may charge the accounts, in the partitions asked for."""
    for request in requests:
        row, account = known.get(request.partition or "", {}), request.account
        allowed, denied = row.get("AllowAccounts", "ALL"), row.get("DenyAccounts", "")
        if account and ((allowed != "ALL" and account not in allowed.split(",")) or account in denied.split(",")):
            fact = f"{request.rules}: partition {request.partition} is not open to account {account!r}"
            yield wrong(fact, f"set slurm_account to one of {allowed}, or another slurm_partition")
    if not site.get("AccountingStorageType", "").endswith("slurmdbd"):
        yield right("the site keeps no accounts: any slurm_account is taken")
        return
    user = getpass.getuser()
    try:
        own = slurm.accounts(user)
    except slurm.Silent as error:
        yield doubtful(f"your accounts cannot be asked for: {error}", "ask the administrators for your slurm_account")
        return
    yield from of_associations(requests, user, own)


def of_associations(requests: list[Request], user: str, own: set[tuple[str, str]]) -> Iterator[Finding]:
    """Whether the accounts asked for are among the user's `own`, each with the partition that it is bound to."""
    for request in requests:
        places = {partition for account, partition in own if account == request.account}
        if request.account and not places:
            fact = f"{request.rules}: {user} has no account {request.account!r}"
            names = ", ".join(sorted({account for account, _ in own}))
            yield wrong(fact, f"set slurm_account to one of {names}" if names else "ask the administrators for one")
        elif request.account and request.partition and not places & {"", *request.partition.split(",")}:
            fact = f"{request.rules}: account {request.account!r} may not be used in partition {request.partition}"
            yield wrong(fact, f"set slurm_partition to one of {', '.join(sorted(places))}")


def _over(values: tuple[float, ...], limit: float) -> str:
    """The first value above the limit and its attempt, in words; empty where none is."""
    found = ((value, attempt) for attempt, value in enumerate(values, 1) if value > limit)
    return next((f"{value:.0f} of attempt {attempt}" for value, attempt in found), "")
