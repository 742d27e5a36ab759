"""Expressions that are walked: lists only where asked for, and a profile's resources as Snakemake reads them."""

import pytest

from espalier.settings import expressions
from espalier.site.preflight import profile


def test_lists_are_read_only_where_they_are_asked_for():
    assert expressions.value("[30, 60][attempt - 1]", {"attempt": 2}, lists=True) == 60
    with pytest.raises(ValueError, match="cannot hold"):
        expressions.value("[30, 60][0]", {})


@pytest.mark.parametrize(
    ("text", "minutes"), [("[30, 60][attempt - 1]", (30, 60)), ("attempt * 20", (20, 40)), ("2h", (120, 120))]
)
def test_a_resource_is_what_it_comes_to_at_each_attempt(text, minutes, tmp_path):
    (tmp_path / "config.yaml").write_text(f'retries: 1\ndefault-resources: {{runtime: "{text}"}}\n')
    (asked,) = profile.read(tmp_path).requests()
    assert asked.minutes == minutes


def test_no_code_of_a_profile_is_run(tmp_path):
    (tmp_path / "config.yaml").write_text(
        f"default-resources: {{slurm_account: \"__import__('pathlib').Path('{tmp_path}/made').touch()\"}}\n"
    )
    (asked,) = profile.read(tmp_path).requests()
    assert asked.account.startswith("__import__") and not (tmp_path / "made").exists()
