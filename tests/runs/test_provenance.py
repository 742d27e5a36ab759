import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from espalier.runs import provenance
from espalier.runs.clock import Clock
from espalier.settings import plugins


def test_git_that_is_absent_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.git() == {"commit": None, "dirty": None}


def test_a_folder_outside_git_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "_CODE", tmp_path)
    assert provenance.git() == {"commit": None, "dirty": None}


def test_when_and_with_what_a_run_began():
    clock = Clock()
    clock.began = 0.0
    found = provenance.provenance(clock)
    assert found["started"] == "1970-01-01T00:00:00+00:00"
    assert found["versions"]["torch"].startswith("2.") and found["versions"]["espalier"]


def test_a_run_names_its_commit_and_whether_the_code_was_changed_since(monkeypatch, tmp_path):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(["git", "-C", tmp_path, *who, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    monkeypatch.setattr(provenance, "_CODE", tmp_path)
    git("init", "--quiet")
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "--quiet", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert provenance.git() == {"commit": commit, "dirty": False}
    # Results and notes beside the code change nothing.
    (tmp_path / "notes.txt").write_text("1")
    assert provenance.git() == {"commit": commit, "dirty": False}
    (tmp_path / "code.py").write_text("2")
    assert provenance.git() == {"commit": commit, "dirty": True}


def test_asking_git_holds_up_no_commit(monkeypatch, tmp_path):
    program = tmp_path / "git"
    program.write_text('#!/bin/sh\necho "$GIT_OPTIONAL_LOCKS $HOME"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", "/home/mine")
    assert provenance.git() == {"commit": "0 /home/mine", "dirty": True}


def test_the_origin_of_a_run(monkeypatch, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text("")
    monkeypatch.setattr(plugins, "files", lambda: (plugin,))
    monkeypatch.setattr(sys, "argv", ["stage.py", "train", "a folder"])
    found = provenance.provenance(Clock())
    assert found["command"] == f"{Path(sys.executable).name} stage.py train 'a folder'"
    assert found["git"] == provenance.git()
    assert found["plugins"] == {str(plugin): plugins.sha256(plugin)}
    assert found["host"] == platform.node()
    assert found["preloaded"] is False
    assert found["versions"] == {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("espalier", "torch", "accelerate", "numpy")},
    }


def test_a_library_that_is_no_package_has_no_version(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    assert provenance.versions() == {"python": platform.python_version()} | dict.fromkeys(
        ("espalier", "torch", "accelerate", "numpy")
    )
