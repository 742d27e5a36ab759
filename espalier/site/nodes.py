"""The nodes of a SLURM job that train one network together: a step on each, and the address by which others reach it.

Outside a SLURM job, and inside a pilot's, a run stays on its machine.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from espalier.errors import Mistake
from espalier.site.pilot.board import VARIABLE as PILOT

PART = "ESPALIER_NODE"
"""Environment variable with the number of this node, from 0, among those of the run; set for its step alone."""
PEER = "ESPALIER_PEER"
"""Environment variable with the address of another of these nodes."""

_KEPT = {"SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME", "SLURM_CONF"}
_GPUS = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Node:
    """A node of this process's job: its name, and the address under which SLURM knows it."""

    name: str
    address: str


def part() -> int | None:
    """Which of the run's nodes this process has been started for; None where it was not started for one."""
    return int(os.environ[PART]) if PART in os.environ else None


def of_job(count: int) -> list[Node]:
    """The nodes of this process's SLURM job; empty where there is no such job.

    Raises:
        Mistake: the job has not `count` of them, or SLURM does not tell.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or PILOT in os.environ or shutil.which("srun") is None:
        return []
    names = _output("scontrol", "show", "hostnames", _output("squeue", "--noheader", f"--jobs={job}", "--format=%N"))
    found = names.split()
    if len(found) != count:
        raise Mistake(f"nodes is {count}, and SLURM job {job} has {len(found)}: ask for as many, or set nodes to that")
    facts = [line.split() for line in _output("scontrol", "--oneliner", "show", "node", ",".join(found)).splitlines()]
    nodes = [dict(word.split("=", 1) for word in words if "=" in word) for words in facts]
    address = {node["NodeName"]: node["NodeAddr"] for node in nodes}
    return [Node(name, address[name]) for name in found]


def step(node: Node, processes: int, command: Sequence[str]) -> list[str]:
    """The words that run `command` once on `node`, with a GPU for each of so many processes where the job has some."""
    words = ["srun", "--quiet", "--nodes=1", "--ntasks=1", f"--nodelist={node.name}", "--overlap", "--export=ALL"]
    words += ["--mpi=none", "--cpu-bind=none"]
    if any(os.environ.get(name) for name in _GPUS):
        words.append(f"--gpus={processes}")
    return [*words, *command]


def environment() -> dict[str, str]:
    """This process's environment without what SLURM says of its own step, which srun would ask for again."""
    own = ("SLURM_", "SRUN_", "SBATCH_")
    return {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(own)}


def own_address() -> str:
    """The address from which this node reaches its peer; nothing is sent.

    Raises:
        Mistake: the peer's name is not known here.
    """
    try:
        family, *_, peer = socket.getaddrinfo(os.environ[PEER], 9, type=socket.SOCK_DGRAM)[0]
    except socket.gaierror as error:
        told = f"SLURM calls another node {os.environ[PEER]}, which {socket.gethostname()} knows no address of"
        raise Mistake(f"{told} ({error.strerror}); NodeAddr in slurm.conf may give one") from None
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(peer)
        return probe.getsockname()[0]


def interface() -> str:
    """The network interface that has this node's own address.

    Raises:
        Mistake: none has it, or the peer is not known.
    """
    import psutil

    mine = own_address()
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == mine for each in addresses):
            return name
    raise Mistake(f"no network interface has the address {mine}, from which {os.environ[PEER]} is reached")


def _output(*words: str) -> str:
    """What a program of SLURM's prints."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Mistake(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()
