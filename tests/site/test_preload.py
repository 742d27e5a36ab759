"""Runs forked where torch is imported: the same bits, the same ends, and none outlives what it stands for."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.preload_server import LIGHT, Server, at_work, ended, train
from support.scripts_as_run import ENVIRONMENT, PATIENCE_S, ROOT, begun

HANDED = "from espalier.site.preload.client import hand_over\nhand_over()\n"
NETWORK = ("model={name: resnet, blocks: [1], channels: [8]}", "augment=[pad_crop]")
QUICK, LONGER, ENDLESS = ((*NETWORK, f"train.epochs={epochs}") for epochs in (2, 10, 100_000))
NOTING = """
import sys
import os
sys.path.insert(0, {scripts!r})
from espalier.site.preload import SOCKET, client, preloaded
client.PATIENCE_S = float(sys.argv[1])
client.hand_over()
with open({begun!r}, "a") as file:
    print(preloaded(), file=file)
"""


SCRIPT = f"""
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from espalier.site.preload import client, preloaded
client.hand_over()
folder, how = Path(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
folder.mkdir()
(folder / "new").write_text(f"{{os.getpid()}} {{preloaded()}}")
(folder / "new").rename(folder / "begun")
time.sleep(dict(quick=0, longer=1, endless=100_000)[how])
(folder / "done").touch()
"""
"""In place of a run, where a run's own work is not what is tested: it needs no torch."""


@pytest.fixture
def words(tmp_path):
    """The command line of the script: its folder, and how long it takes."""
    (tmp_path / "script.py").write_text(SCRIPT)
    return lambda folder, how: [sys.executable, tmp_path / "script.py", folder, how]


def has_begun(process, folder):
    """Wait until the script has begun; the process that it is."""
    while not (folder / "begun").exists():
        assert process.poll() is None, "ended before it began"
        time.sleep(0.01)
    pid, preloaded = (folder / "begun").read_text().split()
    assert preloaded == "True" and int(pid) != process.pid
    return int(pid)


def was_forked(folder):
    return (folder / "begun").read_text().split()[1] == "True" and (folder / "done").exists()


@pytest.fixture(scope="module")
def server():
    one = Server()
    yield one
    assert one.end() == ""


@pytest.fixture
def own_server():
    """One that a test may end as it likes, and that imports no torch."""
    one = Server(LIGHT)
    yield one
    one.process.kill()
    one.process.communicate()
    shutil.rmtree(one.socket.parent, ignore_errors=True)


def test_the_same_bits_and_a_record_of_how_it_began(server, digits, tmp_path):
    folders = tmp_path / "alone-00000000a1", tmp_path / "forked-00000000a2"
    subprocess.run(train(folders[0], digits, *QUICK), env=ENVIRONMENT, check=True, capture_output=True)
    done = server.run(*train(folders[1], digits, *QUICK))
    assert done.returncode == 0, done.stderr
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders}) == 1
    alone, forked = (json.loads((folder / "run.json").read_text()) for folder in folders)
    assert (alone["preloaded"], forked["preloaded"]) == (False, True)
    assert forked["threads"] == alone["threads"] == 1
    assert forked["command"].startswith("python")
    assert str(folders[1]) in forked["command"]


def test_logs_and_a_mistakes_exit_code_reach_the_caller(server, digits, tmp_path):
    done = server.run(*train(tmp_path / "run-00000000a1", digits, "train.epochs=none"))
    assert done.returncode == 2
    assert "train.epochs" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_is_passed_on_and_the_run_saves_its_state(server, digits, tmp_path, number):
    folder = tmp_path / "run-00000000a1"
    process = server.begin(train(folder, digits, *ENDLESS))
    assert at_work(process, folder) != process.pid
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE_S) == 75


def test_a_killed_run_goes_on_to_the_same_bits(server, digits, tmp_path):
    folders = tmp_path / "whole-00000000a1", tmp_path / "killed-00000000a2"
    assert server.run(*train(folders[0], digits, *LONGER)).returncode == 0
    process = server.begin(train(folders[1], digits, *LONGER))
    forked = at_work(process, folders[1])
    process.kill()
    assert ended(forked)
    assert server.run(*train(folders[1], digits, *LONGER)).returncode == 0
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders}) == 1


def test_a_run_that_is_killed_itself_ends_its_client_likewise(server, digits, tmp_path):
    folder = tmp_path / "run-00000000a1"
    process = server.begin(train(folder, digits, *ENDLESS))
    os.kill(at_work(process, folder), signal.SIGKILL)
    assert process.wait(timeout=PATIENCE_S) == -signal.SIGKILL


def test_a_run_that_is_killed_while_it_waits_to_be_forked_never_begins(own_server, words, tmp_path):
    folder = tmp_path / "run"
    # As while torch is imported there, which may be quicker than what is done here.
    own_server.process.send_signal(signal.SIGSTOP)
    processes = [own_server.begin(words(folder, "endless")) for _ in range(2)]
    # The kernel lists the server's own socket, and one for each client that waits.
    while Path("/proc/net/unix").read_text().count(str(own_server.socket)) < 3:
        time.sleep(0.01)
    for process in processes:
        process.kill()
        process.wait()
    own_server.process.send_signal(signal.SIGCONT)
    done = own_server.run(*words(tmp_path / "next", "quick"))
    assert (done.returncode, own_server.end()) == (0, "")
    assert was_forked(tmp_path / "next") and not folder.exists()


def test_as_many_ends_as_beginnings(own_server, words, tmp_path):
    processes = [own_server.begin(words(tmp_path / f"{number}", "quick")) for number in range(12)]
    assert {process.wait(timeout=PATIENCE_S) for process in processes} == {0}
    assert all(was_forked(tmp_path / f"{number}") for number in range(12))


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("1 / 0", 1, "ZeroDivisionError"),
        ("raise KeyboardInterrupt", -signal.SIGINT, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("print(sys.stdin.read()[::-1], 'torch' in sys.modules)", 0, ""),
    ],
)
def test_a_script_ends_and_reads_as_it_would_alone(server, tmp_path, body, code, told):
    program = tmp_path / "script.py"
    program.write_text(f"import os, sys\n{HANDED}{body}\n")
    words = [sys.executable, program]
    # Libraries are found otherwise than the server's, which is why it is not asked.
    environment = server.environment | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    alone = subprocess.run(words, env=environment, input="abc", capture_output=True, text=True, check=False)
    head = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    program.write_text(head + program.read_text())
    forked = subprocess.run(words, env=server.environment, input="abc", capture_output=True, text=True, check=False)
    assert alone.returncode == forked.returncode == code
    assert told in forked.stderr
    if not code:
        assert (alone.stdout, forked.stdout) == ("cba False\n", "cba True\n")


def test_libraries_loaded_otherwise_are_loaded_by_the_run_itself(own_server, words, tmp_path):
    first, other = tmp_path / "first", tmp_path / "other"
    done = own_server.run(*words(first, "quick"))
    assert (done.returncode, done.stderr) == (0, "")
    changed = {"OMP_NUM_THREADS": "2", "KMP_BLOCKTIME": "0", "LD_\udcff": "no UTF-8"}
    done = own_server.run(*words(other, "quick"), **changed)
    assert done.returncode == 0
    assert "this run imports torch for itself: another KMP_BLOCKTIME, LD_?, OMP_NUM_THREADS than" in done.stderr
    assert [was_forked(folder) for folder in (first, other)] == [True, False] and (other / "done").exists()


def test_a_library_that_sets_a_variable_when_it_is_imported_makes_no_run_another(words, tmp_path):
    """As torch._dynamo does."""
    (tmp_path / "setting.py").write_text("import os\nos.environ['TORCH_OF_A_LIBRARY'] = 'set'\n")
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    one = Server((*LIGHT[:2], path + LIGHT[2].replace("wave", "setting")))
    assert one.run(*words(tmp_path / "run", "quick")).stderr == one.end() == ""
    assert was_forked(tmp_path / "run")


def test_signals_to_every_process_stop_runs_alone(own_server, words, tmp_path):
    process = own_server.begin(words(tmp_path / "run", "endless"))
    has_begun(process, tmp_path / "run")
    # The server's session: itself and the run.
    os.killpg(own_server.process.pid, signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 75
    assert own_server.run(*words(tmp_path / "next", "quick")).returncode == 0
    assert was_forked(tmp_path / "next")


def test_a_signal_that_the_caller_ignores_is_ignored(server, digits, tmp_path):
    folder = tmp_path / "run-00000000a1"
    process = server.begin(["nohup", *train(folder, digits, *ENDLESS)])
    os.kill(at_work(process, folder), signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 75


def test_runs_at_work_are_waited_for(own_server, words, tmp_path):
    process = own_server.begin(words(tmp_path / "run", "longer"))
    has_begun(process, tmp_path / "run")
    assert own_server.end() == ""
    assert process.wait(timeout=PATIENCE_S) == 0
    assert (tmp_path / "run/done").exists()
    assert not own_server.socket.parent.exists()
    assert own_server.run(*words(tmp_path / "late", "quick")).returncode == 0
    assert not was_forked(tmp_path / "late")


def test_runs_of_other_tests_are_forked_whatever_has_been_imported_there(words, tmp_path, monkeypatch):
    # As scikit-learn does when it is imported.
    monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")
    subprocess.run(words(tmp_path / "run", "quick"), env=begun(LIGHT), check=True)
    assert was_forked(tmp_path / "run")


def test_no_run_outlives_a_killed_server(own_server, words, tmp_path):
    process = own_server.begin(words(tmp_path / "run", "endless"))
    pid = has_begun(process, tmp_path / "run")
    own_server.process.kill()
    assert process.wait(timeout=PATIENCE_S) == 1
    assert ended(pid)


def test_a_server_that_hangs_holds_up_no_run_and_begins_none_later(own_server, tmp_path):
    program, begun = tmp_path / "script.py", tmp_path / "begun"
    program.write_text(NOTING.format(scripts=str(ROOT), begun=str(begun)))
    own_server.process.send_signal(signal.SIGSTOP)
    done = own_server.run(sys.executable, program, "0.1")
    assert done.returncode == 0
    (said,) = done.stderr.splitlines()
    assert said.startswith("this run imports torch for itself: the process that forks runs does not answer")
    own_server.process.send_signal(signal.SIGCONT)
    assert own_server.run(sys.executable, program, "600").stderr == ""
    # What was asked for in vain is passed over by the time the server ends.
    assert own_server.end() == ""
    assert begun.read_text().split() == ["False", "True"]


def test_a_client_that_is_stopped_before_it_asks_holds_up_no_other(own_server, words, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(str(own_server.socket))
        assert own_server.run(*words(tmp_path / "run", "quick")).returncode == 0
        assert was_forked(tmp_path / "run")
    assert own_server.end() == ""


def test_a_server_ends_with_the_process_that_began_it():
    code = (
        "import os\n"
        "from espalier.site.preload import SOCKET, server\n"
        "server.begin()\n"
        "print(os.environ[SOCKET], server._servers[0].pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    socket, pid = done.stdout.split()
    assert ended(int(pid))
    assert not Path(socket).exists()


def test_a_temporary_folder_may_have_a_long_name_and_go_before_the_end(words, tmp_path, monkeypatch):
    place = tmp_path / ("long" * 20)
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    one = Server(LIGHT)
    assert one.run(*words(tmp_path / "run", "quick")).returncode == 0
    assert was_forked(tmp_path / "run")
    subprocess.run(["rm", "-r", one.socket.parent], check=True)
    assert one.end() == ""
