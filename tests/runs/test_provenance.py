from espalier.runs import provenance
from espalier.runs.clock import Clock


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
