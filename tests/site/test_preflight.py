"""The checks of a site, on what SLURM 22.05 really printed for one with accounts, and on the site at hand."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.site.preflight import cluster, machine, profile, slurm
from espalier.site.preflight.finding import RIGHT, WRONG

ROOT = Path(__file__).parents[2]
# scontrol show config, of its lines those that are read and some beside them.
CONFIG = """\
Configuration data as of 2026-11-21T13:30:57
AccountingStorageTRES   = cpu,mem,energy,node,billing,fs/disk,vmem,pages,gres/gpu
AccountingStorageType   = accounting_storage/slurmdbd
ClusterName             = lab
EnforcePartLimits       = NO
JobRequeue              = 1
MinJobAge               = 30 sec
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
SchedulerParameters     = (null)
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at vm is UP
"""
# scontrol show partition --oneliner, some keys left out.
PARTITIONS = """\
PartitionName=cpu AllowAccounts=ALL AllowQos=ALL Default=YES QoS=N/A DefaultTime=NONE MaxNodes=UNLIMITED \
MaxTime=01:00:00 Nodes=c1 PreemptMode=REQUEUE State=UP MaxMemPerNode=UNLIMITED \
TRES=cpu=8,mem=8000M,node=1,billing=8
PartitionName=gpu AllowAccounts=ALL AllowQos=ALL Default=NO QoS=N/A DefaultTime=NONE MaxNodes=UNLIMITED \
MaxTime=2-00:00:00 Nodes=g[1-2] PreemptMode=REQUEUE State=UP MaxMemPerNode=UNLIMITED \
TRES=cpu=8,mem=16000M,node=2,billing=8,gres/gpu=4
PartitionName=hopper AllowAccounts=language AllowQos=ALL Default=NO QoS=N/A DefaultTime=NONE \
MaxNodes=UNLIMITED MaxTime=UNLIMITED Nodes=h1 PreemptMode=REQUEUE State=UP MaxMemPerNode=UNLIMITED \
TRES=cpu=8,mem=62.50G,node=1,billing=8,gres/gpu=4
PartitionName=spare AllowAccounts=ALL AllowQos=ALL Default=NO QoS=N/A DefaultTime=NONE MaxNodes=UNLIMITED \
MaxTime=12:00:00 Nodes=g[1-2] PreemptMode=CANCEL State=UP MaxMemPerNode=UNLIMITED \
TRES=cpu=8,mem=16000M,node=2,billing=8,gres/gpu=4
PartitionName=closed AllowAccounts=ALL AllowQos=ALL Default=NO QoS=N/A DefaultTime=NONE \
MaxNodes=UNLIMITED MaxTime=00:30:00 Nodes=c1 PreemptMode=REQUEUE State=DOWN MaxMemPerNode=4000 \
TRES=cpu=8,mem=8000M,node=1,billing=8
"""
# sinfo --noheader --all --Node --format=%R|%c|%m|%G|%n
NODES = """\
cpu|8|8000|(null)|vm
closed|8|8000|(null)|vm
gpu|4|8000|gpu:a100:2|vm
spare|4|8000|gpu:a100:2|vm
gpu|4|8000|gpu:a100:2|vm
spare|4|8000|gpu:a100:2|vm
hopper|8|64000|gpu:nvidia-h100:4|vm
"""
# sacctmgr -nP show assoc user=root format=account,partition
ACCOUNTS = "language|hopper\nvision|\nroot|\n"
GOOD = """\
executor: slurm
default-resources: {slurm_account: vision, slurm_partition: cpu, mem_mb: attempt * 2000, runtime: attempt * 20}
set-resources:
  train: {slurm_partition: gpu, gpu: threads, gpu_model: a100, mem_mb: 6000, runtime: "attempt * 120"}
retries: 2
slurm-status-command: squeue
slurm-requeue: true
"""


def profile_of(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(text)
    return profile.read(folder)


def found_of(folder, text, config=CONFIG):
    """All findings that need no command of SLURM."""
    site, partitions = slurm.read_settings(config), slurm.read_partitions(PARTITIONS)
    wanted = profile_of(folder, text)
    found = [*cluster.of_profile(wanted), *cluster.of_controller(site)]
    for request in wanted.requests():
        found += cluster.of_partition(request, site, partitions)
        found += cluster.of_nodes(request, slurm.read_nodes(NODES))
    return found


def now(config=CONFIG, **changes):
    """The recorded settings as if they were asked for now, some changed."""
    config = re.sub("(?<=as of ).*", time.strftime("%Y-%m-%dT%H:%M:%S"), config)
    for key, value in ({"MinJobAge": "300 sec"} | changes).items():
        config = re.sub(rf"(?m)^({key} *= ).*", rf"\g<1>{value}", config)
    return config


def test_settings_partitions_nodes_and_accounts_are_read():
    site = slurm.read_settings(CONFIG)
    assert (site["MinJobAge"], site["EnforcePartLimits"], site["now"]) == ("30 sec", "NO", "2026-11-21T13:30:57")
    assert site["AccountingStorageType"] == "accounting_storage/slurmdbd"
    partitions = slurm.read_partitions(PARTITIONS)
    assert list(partitions) == ["cpu", "gpu", "hopper", "spare", "closed"]
    assert partitions["hopper"]["AllowAccounts"] == "language"
    longest = [slurm.minutes(row["MaxTime"]) for row in partitions.values()]
    assert longest == [60, 2880, float("inf"), 720, 30]
    nodes = slurm.read_nodes(NODES)
    assert nodes[-1] == slurm.Node("hopper", 8, 64000, {"nvidia-h100": 4}, "vm")
    assert nodes[0].gpus == {}
    assert slurm.read_accounts(ACCOUNTS) == {("language", "hopper"), ("vision", ""), ("root", "")}


@pytest.mark.parametrize(
    ("text", "minutes"), [("30", 30), ("90:30", 90.5), ("1-0", 1440), ("1-12:30", 2190), ("02:00:00", 120)]
)
def test_times_of_slurm(text, minutes):
    assert slurm.minutes(text) == minutes


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:a100:4(S:0-1)", {"a100": 4}),
        ("gpu:2", {"": 2}),
        ("gpu", {"": 1}),
        ("gpu:a100:2,gpu:v100:2,fs:lustre:1", {"a100": 2, "v100": 2}),
        ("(null)", {}),
    ],
)
def test_gpus_of_a_node(gres, gpus):
    assert slurm.read_nodes(f"gpu|8|64000+|{gres}|host\n")[0] == slurm.Node("gpu", 8, 64000, gpus, "host")


def test_a_good_site_and_profile(tmp_path):
    found = found_of(tmp_path, GOOD, now())
    assert [finding.level for finding in found] == [RIGHT]


@pytest.mark.parametrize(
    ("old", "new", "fact", "mend"),
    [
        ("cpu, mem", "cppu, mem", "no partition 'cppu'", "closed, cpu, gpu, hopper, spare"),
        ("cpu, mem", "closed, mem", "partition closed is DOWN", "another"),
        ("attempt * 20}", "2h}", "all other rules: runtime 120 of attempt 1 is above MaxTime 60 of cpu", "min(60"),
        ("attempt * 20}", "attempt * 30}", "runtime 90 of attempt 3 is above MaxTime 60 of cpu: it would wait", "min"),
        ("* 2000", "* 3000", "mem_mb 9000 of attempt 3 is more than any node of cpu has (8000)", "min(8000"),
        ("gpu: threads", "gpu: 4", "gpu 4 is more than any node of gpu has (2)", "fewer"),
        ("model: a100", "model: v100", "'v100' is no type of GPU of gpu", "one of a100"),
        ("model: a100", "model: nvidia-h100", "letters, digits", "constraint"),
        ("partition: gpu", "partition: cpu", "train: no node of cpu has a GPU", "gpu, hopper, spare"),
        ("partition: gpu", "partition: spare", "preemption ends jobs of spare for good", "REQUEUE"),
        ("partition: gpu", "partition: closed", "runtime 120 of attempt 1 is above MaxTime 30 of closed", "min(30"),
        ("partition: gpu", "partition: closed", "mem_mb 6000 of attempt 1 is above MaxMemPerNode 4000", "min(4000"),
        ("slurm_partition: gpu", "slurm_extra: --signal=USR1@60, slurm_partition: gpu", "--signal ends", "slurm_extra"),
        ("squeue", "sacct", "waited for for ever", "squeue"),
        ("requeue: true", "requeue: false", "run twice", "slurm-requeue: true"),
        ("retries", "slurm-array-jobs: train\nretries", "job arrays", "take slurm-array-jobs out"),
    ],
)
def test_what_is_wrong_is_told_with_its_mend(tmp_path, old, new, fact, mend):
    assert old in GOOD
    found = [each for each in found_of(tmp_path, GOOD.replace(old, new), now()) if each.level == WRONG]
    assert any(fact in each.fact and mend in each.mend for each in found), found


def test_controllers_that_forget_jobs_or_the_time(tmp_path):
    assert [each.fact[:15] for each in cluster.of_controller(slurm.read_settings(now(MinJobAge="30 sec")))] == [
        "MinJobAge is 30"
    ]
    found = list(cluster.of_controller(slurm.read_settings(CONFIG)))
    assert [each.level for each in found] == [WRONG, WRONG]
    assert "the controller's clock is" in found[1].fact


def test_a_refusing_site_does_not_let_jobs_wait(tmp_path):
    text = GOOD.replace("attempt * 20}", "attempt * 30}")
    found = found_of(tmp_path, text, now(EnforcePartLimits="ALL"))
    assert [each.fact for each in found if "it would be refused" in each.fact and "90 of attempt 3" in each.fact]


def test_accounts_that_a_partition_does_not_take(tmp_path):
    site, partitions = slurm.read_settings(now()), slurm.read_partitions(PARTITIONS)
    site["AccountingStorageType"] = "accounting_storage/none"
    wanted = profile_of(tmp_path, GOOD.replace("slurm_partition: gpu", "slurm_partition: hopper")).requests()
    found = list(cluster.of_accounts(wanted, site, partitions))
    assert [each.level for each in found] == [WRONG, RIGHT]
    assert "train: partition hopper is not open to account 'vision'" in found[0].fact
    assert "language" in found[0].mend


@pytest.mark.parametrize(
    ("account", "partition", "fact"),
    [
        ("vision", "gpu", None),
        ("language", "hopper", None),
        ("language", "gpu", "account 'language' may not be used in partition gpu"),
        ("lost", "gpu", "no account 'lost'"),
    ],
)
def test_accounts_of_a_user(account, partition, fact):
    request = profile.Request("train", account, partition, (), (), 0, None, "")
    found = list(cluster.of_associations([request], "root", slurm.read_accounts(ACCOUNTS)))
    assert [each.fact.partition(": ")[2] for each in found if fact and fact in each.fact] or (not found and not fact)


@pytest.mark.parametrize(
    "text", ["executor: [", "- slurm", "set-resources: [train]", "default-resources: {runtime: x}"]
)
def test_profiles_that_cannot_be_read(tmp_path, text):
    with pytest.raises(Mistake, match=r"config\.yaml"):
        profile_of(tmp_path, text).requests()


def test_the_shipped_profiles_can_be_read():
    names = set()
    for path in (ROOT / "profiles").glob("*/config.yaml"):
        shipped = profile.read(path.parent)
        if shipped.slurm:
            assert not list(cluster.of_profile(shipped))
            names |= {rule for request in shipped.requests() for rule in request.rules.split(", ")}
    assert {"train", "all other rules"} <= names


def test_room_for_the_runs_to_go(tmp_path):
    results = tmp_path / "results"
    runs = {f"{n:010x}": {"stage": "train", "path": f"results/runs/train/net-{n:010x}"} for n in range(4)}
    (results / "studies/one").mkdir(parents=True)
    (results / "studies/one/plan.json").write_text(json.dumps({"runs": runs}))
    assert machine.need(results) == machine.Need(4, 0, 4 * machine.FILES)
    for run in list(runs.values())[:1]:
        (tmp_path / run["path"]).mkdir(parents=True)
        (tmp_path / run["path"] / "run.json").write_bytes(bytes(1000))
        (tmp_path / run["path"] / "model.safetensors").write_bytes(bytes(9000))
    assert machine.need(results) == machine.Need(3, 30_000, 3 * machine.FILES)
    # More than any disk has.
    with (tmp_path / run["path"] / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 43)
    found = [each for each in machine.findings(results, nodes=None) if "GiB free" in each.fact]
    assert [each.level for each in found] == [WRONG]
    assert "for 3 runs to go" in found[0].fact


def test_what_only_this_machine_can_see(tmp_path):
    found = [each for each in machine.findings(tmp_path, nodes={"node1", "node2"}) if "file system" in each.mend]
    kinds = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    if kinds.strip() not in ("ext2/ext3", "xfs", "btrfs", "tmpfs", "overlayfs"):
        pytest.skip(f"the folder of the tests is on {kinds.strip()}")
    assert any(each.fact.startswith("results: on ") and each.level != RIGHT for each in found)
    assert not [each for each in machine.findings(tmp_path, nodes=None) if "file system" in each.mend]


def test_rights_and_umask(tmp_path):
    before = os.umask(0o277)
    try:
        found = [each for each in machine.findings(tmp_path, nodes=None) if "umask" in each.fact]
    finally:
        os.umask(before)
    assert [each.level for each in found] == [WRONG]


def test_byte_code_that_is_missing(tmp_path):
    """A package of this name stands first on the path of a process of its own."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").touch()
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
    code += "from pathlib import Path\nfrom espalier.site.preflight import machine\n"
    code += "print(*machine.findings(Path('.'), nodes=None), sep='\\n')"
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "torch: 1 of 1 modules have no byte-code" in out


def script(*words, **environment):
    command = [sys.executable, "-m", "espalier", "preflight", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_a_machine_without_slurm_is_told_so(tmp_path):
    done = script("--results", tmp_path, PATH="")
    assert done.returncode == 1
    assert "SLURM does not answer: sbatch is not installed here" in done.stdout
    assert "log in to a node of the cluster" in done.stdout


def test_a_profile_without_slurm_asks_for_none(tmp_path):
    done = script("--results", tmp_path, "--profile", "profiles/default", PATH="")
    assert "SLURM" not in done.stdout
    assert "umask" in done.stdout


def test_a_profile_that_is_not_there():
    done = script("--profile", "profiles/none")
    assert done.returncode == 2
    assert done.stderr.startswith("error: profiles/none/config.yaml: cannot be read as a profile")


def answers():
    """Whether a SLURM is up here; a command without a controller takes seconds, and is not tried without a config."""
    if shutil.which("scontrol") is None or not Path("/etc/slurm/slurm.conf").exists():
        return False
    return "UP" in subprocess.run(["scontrol", "ping"], capture_output=True, text=True, check=False).stdout


def test_the_cluster_at_hand(tmp_path):
    if not answers():
        pytest.skip("no SLURM answers here")
    names = subprocess.run(["sinfo", "-h", "-o", "%R"], capture_output=True, text=True, check=True).stdout.split()
    text = GOOD.replace("slurm_partition: cpu", f"slurm_partition: {names[0]}").replace("gpu, gpu:", "absent, gpu:")
    profile_of(tmp_path / "profile", text)
    done = script("--results", tmp_path, "--profile", tmp_path / "profile")
    assert done.returncode == 1, done.stderr
    assert re.search(r"right +SLURM \d+\.", done.stdout)
    assert re.search(r"MinJobAge is \d+ s", done.stdout)
    assert f"there is no partition 'absent'\n{'':<9} → set slurm_partition to one of" in done.stdout
    assert all(name in done.stdout for name in names)
