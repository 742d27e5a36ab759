"""A SLURM cluster on this machine, for tests: real daemons on loopback, nodes with GPUs that are devices in name only.

No systemd and no cgroups. Accounts are kept where the packages for them are installed; jobs are followed by squeue and
scontrol all the same, as the shipped profile follows them.
"""

import os
import platform
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import accounting

SETTINGS = Path("/etc/slurm")
MARK = "# Written by the tests of Espalier; removed when they end.\n"
PACKAGES = "make slurm-packages"
MUNGE = Path("/run/munge/munged.pid")
NODES = {"g1": 4, "g2": 4, "spot1": 4, "cheap1": 4, "mortal1": 4, "mortal2": 4, "c1": 0}
"""Node → GPUs."""
PARTITIONS = {
    "cpu": "Nodes=c1 Default=YES PriorityTier=10",
    "gpu": "Nodes=g[1-2] PriorityTier=10",
    "mortal": "Nodes=mortal[1-2] PriorityTier=10",
    "spot": "Nodes=spot1 PriorityTier=1 PreemptMode=REQUEUE",
    "cheap": "Nodes=cheap1 PriorityTier=1 PreemptMode=CANCEL",
    "urgent": "Nodes=spot1,cheap1 PriorityTier=10",
}
NAME = "espalier"
CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CredType=cred/munge
SlurmctldPort=16817
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
SlurmdTimeout=10
"""


def missing() -> str | None:
    """Why no cluster can be brought up here, or None."""
    if os.geteuid() != 0:
        return "slurmd and munged are started as root"
    absent = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "srun") if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed: {PACKAGES}"
    conf = SETTINGS / "slurm.conf"
    if conf.exists() and not conf.read_text().startswith(MARK):
        return f"{conf} belongs to another cluster"
    return None


class Cluster:
    """The daemons of one cluster, their files in a folder of their own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._own_munge = False

    def up(self) -> None:
        """Start every daemon and wait until all nodes are idle.

        Raises:
            RuntimeError: they are not after half a minute; the logs are named.
        """
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
        _call("slurmctld")
        for node in NODES:
            self.start(node)
        deadline = time.monotonic() + 30
        while (idle := self._idle()) != set(NODES):
            if time.monotonic() > deadline:
                raise RuntimeError(f"nodes {set(NODES) - idle} are not idle; see {self.folder}/*.log")
            time.sleep(0.1)

    def down(self) -> None:
        """End every job and daemon that `up` has started, by its process id."""
        for job in self.jobs():
            subprocess.run(["scancel", job], check=False)
        deadline = time.monotonic() + 15
        while self.jobs() and time.monotonic() < deadline:
            time.sleep(0.2)
        for name in [*(f"slurmd.{node}" for node in NODES), "slurmctld"]:
            _end(self.folder / f"{name}.pid")
        for path in accounting.pid_files(self.folder):
            _end(path)
        for process in [left for node in NODES for left in _of_node(node)]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if self._own_munge:
            _end(MUNGE)
        # A configuration without a controller costs every call of Snakemake nine seconds.
        for name in ("slurm.conf", "gres.conf", "slurmdbd.conf"):
            (SETTINGS / name).unlink(missing_ok=True)

    def start(self, node: str) -> None:
        _call("slurmd", "-N", node)

    def kill(self, node: str) -> None:
        """End a node as a power failure would: its daemon and all that it has started."""
        daemon = int((self.folder / f"slurmd.{node}.pid").read_text())
        processes = [daemon, *_of_node(node)]
        # All at once: a step daemon that outlives its step would still tell of its end.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, number)

    def jobs(self, states: str = "PENDING,RUNNING,SUSPENDED,COMPLETING", folder: Path | None = None) -> list[str]:
        """Ids of the jobs in these states, in the order of submission; those of a working folder only, if given."""
        words = ["squeue", "--noheader", f"--states={states}", "--format=%i|%Z"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        rows = [line.split("|", 1) for line in done.stdout.splitlines()]
        return sorted((job for job, where in rows if folder is None or Path(where) == folder), key=int)

    def job(self, number: str) -> dict[str, str]:
        """What scontrol knows of a job: key → value."""
        text = _call("scontrol", "show", "job", "--details", number)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def _idle(self) -> set[str]:
        done = subprocess.run(["sinfo", "-h", "-N", "-o", "%N %T"], capture_output=True, text=True, check=False)
        return {name for name, state in map(str.split, done.stdout.splitlines()) if state == "idle"}

    def _conf(self) -> str:
        host = platform.node().split(".")[0]
        kept = "AccountingStorageType=accounting_storage/none\n" if accounting.missing() else accounting.CLUSTER_CONF
        lines = [CONF.format(host=host, base=self.folder, name=NAME), kept]
        for port, (node, gpus) in enumerate(NODES.items(), 17001):
            gres = f" Gres=gpu:a100:{gpus}" if gpus else ""
            where = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
            lines.append(f"NodeName={node} {where} CPUs=16 RealMemory=32000{gres} State=UNKNOWN\n")
        lines += [f"PartitionName={name} {words} MaxTime=600 State=UP\n" for name, words in PARTITIONS.items()]
        return "".join(lines)

    def _start_munge(self) -> None:
        with suppress(FileNotFoundError, ValueError):
            if _lives(int(MUNGE.read_text())):
                return
        for path, mode in (("/run/munge", "0755"), ("/var/log/munge", "0700"), ("/var/lib/munge", "0700")):
            _call("install", "-d", "-o", "munge", "-g", "munge", "-m", mode, path)
        words = ("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", f"--pid-file={MUNGE}")
        _call(*words)
        self._own_munge = True


_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom")


def _call(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"PATH": _PATH})
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


_PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def _end(pid_file: Path) -> None:
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        process = int(pid_file.read_text())
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while _lives(process) and time.monotonic() < deadline:
            time.sleep(0.05)


def _lives(process: int) -> bool:
    """Whether a process is there and no mere entry that nobody has waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _of_node(node: str) -> list[int]:
    """Process ids of a node's step daemons and of what runs under them, the daemons first."""
    daemons, others = set(), set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"SLURMD_NODENAME={node}".encode() not in (path / "environ").read_bytes().split(b"\0"):
                continue
            others.add(int(path.name))
            parent = (path / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if Path("/proc", parent, "cmdline").read_bytes().startswith(b"slurmstepd"):
                daemons.add(int(parent))
    return [*daemons, *(others - daemons)]
