"""A SLURM cluster on this machine, for tests: real daemons, nodes that are hosts of their own, GPUs in name only.

No systemd and no cgroups. Accounts are kept where the packages for them are installed; jobs are followed by squeue and
scontrol all the same, as the shipped profile follows them.
"""

import os
import platform
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import accounting
from hosts import HERE, Hosts
from hosts import missing as hosts_missing
from programs import absent, call

SETTINGS = Path("/etc/slurm")
MARK = "# Written by the tests of Espalier; removed when they end.\n"
MUNGE = Path("/run/munge/munged.pid")
NODES = {"g1": 4, "g2": 4, "spot1": 4, "cheap1": 4, "mortal1": 4, "mortal2": 4, "twin1": 2, "twin2": 2, "c1": 0}
"""Node → GPUs."""
NAMED = ("twin1", "twin2")
"""Nodes that SLURM and all hosts know by name; the others by address."""
PARTITIONS = {
    "cpu": "Nodes=c1 Default=YES PriorityTier=10",
    "gpu": "Nodes=g[1-2] PriorityTier=10",
    "mortal": "Nodes=mortal[1-2] PriorityTier=10",
    "twins": "Nodes=twin[1-2] PriorityTier=10",
    "spot": "Nodes=spot1 PriorityTier=1 PreemptMode=REQUEUE",
    "cheap": "Nodes=cheap1 PriorityTier=1 PreemptMode=CANCEL",
    "urgent": "Nodes=spot1,cheap1 PriorityTier=10",
}
NAME = "espalier"
# Times after which SLURM gives a node, a job or a message up are long enough for a machine that is slow, or busy.
CONF = """\
ClusterName={name}
SlurmctldHost={host}({here})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=30
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=17001
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/slurmd.%n.pid
SlurmdSpoolDir={base}/spool.%n
StateSaveLocation={base}/state
SlurmctldLogFile={base}/slurmctld.log
SlurmdLogFile={base}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MinJobAge=3600
KillWait=30
SlurmctldTimeout=30
SlurmdTimeout=30
MessageTimeout=30
BatchStartTimeout=300
UnkillableStepTimeout=300
"""


def missing() -> str | None:
    """Why no cluster can be brought up here, or None."""
    if os.geteuid() != 0:
        return "slurmd and munged are started as root"
    if reason := absent("munged", "slurmctld", "slurmd", "sbatch", "srun") or hosts_missing():
        return reason
    conf = SETTINGS / "slurm.conf"
    if conf.exists() and not conf.read_text().startswith(MARK):
        return f"{conf} belongs to another cluster"
    return None


class Cluster:
    """The daemons of one cluster, their files in a folder of their own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.hosts = Hosts(folder / "names", NODES, NAMED)
        self._own_munge = False

    def up(self) -> None:
        """Make the hosts, start every daemon and wait until all nodes are idle; nothing is left where that fails.

        Raises:
            RuntimeError: they are not after five minutes; the logs are named.
        """
        try:
            self._up()
        except BaseException:
            self.down()
            raise

    def _up(self) -> None:
        self.hosts.up()
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (SETTINGS / "slurm.conf").write_text(MARK + self._conf())
        gpus = ",".join(node for node, count in NODES.items() if count)
        # Any device will do: what a job sees of a GPU here is its number.
        devices = [f"NodeName={gpus} Name=gpu Type=a100 File={file} Flags=nvidia_gpu_env" for file in _DEVICES]
        (SETTINGS / "gres.conf").write_text("\n".join([MARK + "AutoDetect=off", *devices, ""]))
        self._start_munge()
        if not accounting.missing():
            accounting.up(self.folder, NAME)
        call(*self.hosts.words_here("slurmctld"))
        for node in NODES:
            self.start(node)
        deadline = time.monotonic() + 300
        while (idle := self._idle()) != set(NODES):
            if time.monotonic() > deadline:
                raise RuntimeError(f"nodes {set(NODES) - idle} are not idle; see {self.folder}/*.log")
            time.sleep(0.1)

    def down(self) -> None:
        """End every job, daemon and host that `up` has started."""
        for job in self.jobs():
            subprocess.run(["scancel", job], check=False)
        deadline = time.monotonic() + 60
        while self.jobs() and time.monotonic() < deadline:
            time.sleep(0.2)
        for path in (self.folder / "slurmctld.pid", *accounting.pid_files(self.folder)):
            _end(path)
        if self._own_munge:
            _end(MUNGE)
        # A configuration without a controller costs every call of Snakemake nine seconds.
        for name in ("slurm.conf", "gres.conf", "slurmdbd.conf"):
            (SETTINGS / name).unlink(missing_ok=True)
        self.hosts.down()

    def start(self, node: str) -> None:
        """Start a node, or start it again after it was killed."""
        self.hosts.plug(node)
        call(*self.hosts.words(node, "slurmd"))

    def kill(self, node: str) -> None:
        """End a node as a power failure would: no daemon tells of it, and no connection is closed."""
        self.hosts.unplug(node)
        for process in self.hosts.processes(node):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def jobs(self, states: str = "PENDING,RUNNING,SUSPENDED,COMPLETING", folder: Path | None = None) -> list[str]:
        """Ids of the jobs in these states, in the order of submission; those of a working folder only, if given."""
        words = ["squeue", "--noheader", f"--states={states}", "--format=%i|%Z"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        rows = [line.split("|", 1) for line in done.stdout.splitlines()]
        return sorted((job for job, where in rows if folder is None or Path(where) == folder), key=int)

    def job(self, number: str) -> dict[str, str]:
        """What scontrol knows of a job: key → value."""
        text = call("scontrol", "show", "job", "--details", number)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def _idle(self) -> set[str]:
        done = subprocess.run(["sinfo", "-h", "-N", "-o", "%N %T"], capture_output=True, text=True, check=False)
        return {name for name, state in map(str.split, done.stdout.splitlines()) if state == "idle"}

    def _conf(self) -> str:
        host = platform.node().split(".")[0]
        kept = "AccountingStorageType=accounting_storage/none\n" if accounting.missing() else accounting.CLUSTER_CONF
        lines = [CONF.format(host=host, here=HERE, base=self.folder, name=NAME), kept]
        for node, gpus in NODES.items():
            gres = f" Gres=gpu:a100:{gpus}" if gpus else ""
            where = node if node in NAMED else f"{node} NodeAddr={self.hosts.address(node)}"
            lines.append(f"NodeName={where} CPUs=16 RealMemory=32000{gres} State=UNKNOWN\n")
        lines += [f"PartitionName={name} {words} MaxTime=600 State=UP\n" for name, words in PARTITIONS.items()]
        return "".join(lines)

    def _start_munge(self) -> None:
        with suppress(FileNotFoundError, ValueError):
            if _lives(int(MUNGE.read_text())):
                return
        for path, mode in (("/run/munge", "0755"), ("/var/log/munge", "0700"), ("/var/lib/munge", "0700")):
            call("install", "-d", "-o", "munge", "-g", "munge", "-m", mode, path)
        words = ("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", f"--pid-file={MUNGE}")
        call(*words)
        self._own_munge = True


_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom")


def _end(pid_file: Path) -> None:
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        process = int(pid_file.read_text())
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + 60
        while _lives(process) and time.monotonic() < deadline:
            time.sleep(0.05)


def _lives(process: int) -> bool:
    """Whether a process is there and no mere entry that nobody has waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
