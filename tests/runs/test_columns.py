import pytest

from espalier.runs.columns import write_rows


def test_rows_are_written_in_the_columns_order(tmp_path):
    rows = [{"b": 1.0, "a": "x,y"}, {"a": None, "b": 0.1 + 0.2}]
    write_rows(tmp_path / "a.csv", iter(("a", "b")), iter(rows))
    assert (tmp_path / "a.csv").read_bytes() == b'a,b\n"x,y",1.0\n,0.30000000000000004\n'


def test_no_rows_are_a_head(tmp_path):
    write_rows(tmp_path / "a.csv", ("a", "b"), [])
    assert (tmp_path / "a.csv").read_text() == "a,b\n"


@pytest.mark.parametrize("row", [{"a": 1}, {"a": 1, "b": 2, "c": 3}])
def test_a_column_that_is_missing_or_unknown_leaves_no_file(row, tmp_path):
    name = "c" if "c" in row else "b"
    with pytest.raises(ValueError) as error:
        write_rows(tmp_path / "a.csv", ("a", "b"), [{"a": 1, "b": 2}, row])
    assert str(error.value) == f"{tmp_path / 'a.csv'}: columns ['{name}'] are unknown or missing"
    assert not [*tmp_path.iterdir()]
