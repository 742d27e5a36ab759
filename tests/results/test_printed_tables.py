"""Which columns a table prints, and how it fits its page."""

import re
import shutil
import subprocess

import pandas as pd
import pytest

from espalier.errors import Mistake
from espalier.results.format import latex, panels, table_files
from espalier.results.format.captions import Caption
from espalier.results.format.printed_columns import select_columns, varying_columns
from espalier.results.format.table import table_of

CELLS = {
    "Model": ["a", "b"],
    "Augment": ["crop", "crop"],
    "Test top-1 (%)": ["98.00 ± 0.10", "98.00 ± 0.10"],
    "n": ["3", "3"],
    "Test top-5 (%)": ["100.00", "100.00"],
    "Latency (ms)": ["–", "–"],
    "MACs (M)": ["1.0", "2.0"],
    "Verdict": ["not resolved", "not resolved"],
}


def made(cells=CELLS, words=2, **more):
    table = table_of(pd.DataFrame(), cells, words, **more)
    return captioned(table, Caption("Title", "Text.", "Notes."))


def captioned(table, caption):
    from dataclasses import replace

    return replace(table, caption=caption)


def test_what_is_the_same_in_every_row_is_said_once():
    found = varying_columns(made())
    assert list(found.printed) == ["Model", "Test top-1 (%)", "MACs (M)", "Verdict"] and found.words == 1
    assert found.caption.text == "Text. n = 3."
    assert found.caption.notes == "Notes. The same in every row: Augment crop, Test top-5 (%) 100.00."


@pytest.mark.parametrize(
    ("table", "kept"),
    [
        pytest.param(made({name: cells[:1] for name, cells in CELLS.items()}), list(CELLS), id="one row"),
        pytest.param(made(matrix=True), list(CELLS), id="columns that are compared"),
        pytest.param(made({"Model": ["a", "b"], "n": ["0", "0"], "x": ["–", "–"]}, 1), ["Model", "n", "x"], id="none"),
        pytest.param(made({"Model": ["a", "a"], "x": ["1", "2"]}, 1), ["Model", "x"], id="the only name"),
    ],
)
def test_columns_stay(table, kept):
    assert list(varying_columns(table).printed) == kept


def test_a_study_chooses_columns_by_their_headings():
    found = select_columns(made(), ("macs", "Test Top-1"))
    assert list(found.printed) == ["Model", "Augment", "MACs (M)", "Test top-1 (%)"] and found.words == 2
    with pytest.raises(Mistake, match=r"columns: no column is headed 'speed'; there are model, augment, test top-1"):
        select_columns(made(), ("n", "speed"))


def test_parts_are_no_wider_and_no_longer_than_asked_and_lose_nothing():
    cells = {"Name": [f"a name of {n} words that goes on" for n in range(9)]}
    cells |= {f"Column {n} (%)": ["12.34 ± 0.56"] * 9 for n in range(12)}
    table = made(cells, 1)
    each = panels.widths(table, len, 2, 20)
    found = [*panels.across(table, each, 60)]
    for part in found:
        assert part.printed.columns[0] == "Name" and sum(panels.widths(part, len, 2, 20)) <= 60
    assert [head for part in found for head in part.printed.columns[1:]] == list(cells)[1:]
    rows = [*panels.down(table, 5, 20)]
    assert [len(part.printed) for part in rows] == [2, 2, 2, 2, 1], "a row takes two lines"
    assert pd.concat([part.printed for part in rows]).equals(table.printed)


def test_bold_cells_stay_bold_in_their_part():
    table = made({"Name": list("abcd"), "x": list("1234")}, 1, bold={"x": [False, False, True, False]})
    assert [[part.is_bold(row, 1) for row in range(2)] for part in panels.down(table, 2, 20)] == [
        [False, False],
        [True, False],
    ]


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        (["1.25", "–", "12.5"], "S[table-format=2.2]"),
        (["+1.25", "−12.50"], "S[table-format=+2.2]"),
        (["98.15 ± 0.58", "100.00 ± 12.10"], "S[table-format=3.2(4)]"),
        (["1,234", "5"], "S[table-format=4]"),
        (["0.49 (0.95×)"], "r"),
        (["−0.2 to +1.2"], "r"),
        (["better", "not resolved: 25 repeats would"], r">{\raggedright\arraybackslash}p{61pt}"),
        (["–", ""], "r"),
    ],
)
def test_numbers_are_aligned_at_their_points(cells, column):
    text = latex.latex(made({"Name": ["x"] * len(cells), "Head": cells}, 1), "k")
    assert rf"\begin{{tabular}}{{@{{}}l{column}@{{}}}}" in text


def test_the_caption_of_a_paper_is_short_and_the_rest_a_comment():
    text = latex.latex(made(), "k")
    assert r"\caption[{Title}]{Title. Text.}" in text and "% Notes.\n" in text


HOSTILE = [r"[64] & 50% $x_1$ {c} \d ~ ^ # <b>", "−0.5", "a" * 30, "“é”", "*"]


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX: Debian's texlive-latex-base and texlive-science")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_latex_compiles_and_is_no_wider_than_the_text(tmp_path, columns):
    cells = {"Configuration": HOSTILE * 20, "Test top-1 (%)": [f"98.{n:02} ± 0.{n:02}" for n in range(100)]}
    cells |= {f"Cost {n}, with a long heading (kB)": [f"{n}.{row}" for row in range(100)] for n in range(12)}
    cells |= {"Verdict": ["not resolved: 73 repeats would", "worse"] * 50}
    bold = {"Test top-1 (%)": [row % 3 == 0 for row in range(100)]}
    (tmp_path / "table.tex").write_text(latex.latex(made(cells, 1, bold=bold), "a_key"))
    (tmp_path / "paper.tex").write_text(
        rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs, siunitx}}\usepackage[utf8]{{inputenc}}"
        "\n\\begin{document}\\input{table}\\end{document}\n"
    )
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"], cwd=tmp_path, capture_output=True
    )
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert ran.returncode == 0 and (tmp_path / "paper.pdf").exists(), log[-2000:]
    assert not re.findall(r"Overfull \\hbox.*|.*Float too large.*|.*Undefined.*", log)


def test_a_page_of_one_table_says_its_title_text_and_notes():
    found = table_files.page(made())
    for part in ("<h3>Title</h3>", "Text.", "Notes.", 'aria-label="Title"'):
        assert part in found
