"""The accounts of the test cluster: slurmdbd over a MariaDB of its own, in a folder of its own."""

import platform
import shutil
import socket
import subprocess
import time
from pathlib import Path

from hosts import HERE
from programs import PATH, absent, call

ACCOUNT = "vision"
"""The one account, and the user's."""
STORED = "/etc/slurm/slurmdbd.conf"
_DATABASE_PORT, _PORT = 13306, 16819
_CONF = """\
AuthType=auth/munge
DbdHost={host}
DbdAddr={here}
DbdPort={port}
SlurmUser=root
LogFile={base}/slurmdbd.log
PidFile={base}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
CLUSTER_CONF = f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={HERE}
AccountingStoragePort={_PORT}
AccountingStoreFlags=job_comment
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu
"""
_GRANTS = (
    "create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm'; "
    "grant all on slurm_acct_db.* to slurm@'127.0.0.1'"
)


def missing() -> str | None:
    """Why this cluster keeps no accounts, or None."""
    return absent("slurmdbd", "mariadbd", "mariadb", "mariadb-install-db", "sacctmgr")


def up(folder: Path, cluster: str) -> None:
    """Start database and daemon, and open the account; munged runs already, slurmctld not yet.

    Raises:
        RuntimeError: one of them does not come up; its log lies in the folder.
    """
    # The database runs as a user of its own, who must come by.
    folder.chmod(0o711)
    data = folder / "db"
    data.mkdir()
    shutil.chown(data, "mysql", "mysql")
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    call("mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}", *options)
    with (folder / "mariadb.log").open("w") as log:
        words = ["--user=mysql", f"--datadir={data}", f"--socket={data}/mysql.sock", f"--port={_DATABASE_PORT}"]
        limits = ["--innodb-buffer-pool-size=128M", "--innodb-lock-wait-timeout=900"]
        where = ["--bind-address=127.0.0.1", f"--pid-file={data}/mariadb.pid"]
        program = shutil.which("mariadbd", path=PATH)
        subprocess.Popen([program, "--no-defaults", *words, *where, *limits], stdout=log, stderr=log, process_group=0)
    _answers(_DATABASE_PORT)
    call("mariadb", "--no-defaults", f"--socket={data}/mysql.sock", "--user=root", f"--execute={_GRANTS}")
    host = platform.node().split(".")[0]
    conf = Path(STORED)
    conf.touch(mode=0o600)
    conf.write_text(_CONF.format(host=host, here=HERE, base=folder, port=_PORT, database_port=_DATABASE_PORT))
    call("slurmdbd")
    _answers(_PORT)
    for words in (
        ("cluster", cluster),
        ("account", ACCOUNT, f"Cluster={cluster}"),
        ("user", "root", f"Account={ACCOUNT}", f"DefaultAccount={ACCOUNT}"),
    ):
        call("sacctmgr", "--immediate", "add", *words)


def pid_files(folder: Path) -> list[Path]:
    """Of the daemons, in the order in which they are ended."""
    return [folder / "slurmdbd.pid", folder / "db/mariadb.pid"]


def _answers(port: int, patience_s: float = 300.0) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing answers at port {port} after {patience_s:.0f} s") from None
            time.sleep(0.1)
