"""A study's pages as a reader meets them, in Chromium."""

import pytest

from conftest import HOSTILE

WIDTHS = (390, 1600)
LARGEST = 1_400_000
PLACED = "() => [document.documentElement.scrollWidth, window.innerWidth]"
DRAWN = "() => [...document.querySelectorAll('[data-chart]')].every(place => place.querySelector('svg'))"


def board(tab):
    tab.wait_for_selector("#leaderboard.dataTable")
    return tab


def names(tab) -> list[str]:
    return tab.locator("#leaderboard tbody td.name > span:first-child").all_inner_texts()


def column(tab, head: str) -> list[float | None]:
    """A column's numbers in the order of its rows; None where a cell has none."""
    heads = [text.split("\n")[0].strip() for text in tab.locator("#leaderboard thead th").all_inner_texts()]
    cells = tab.locator(f"#leaderboard tbody td:nth-child({1 + heads.index(head)})")
    return [float(value) if value else None for value in cells.evaluate_all("all => all.map(c => c.dataset.order)")]


def sort(tab, head: str) -> None:
    from playwright.sync_api import expect

    heading = tab.locator("#leaderboard thead th", has_text=head).first
    next_order = "ascending" if heading.get_attribute("aria-sort") == "descending" else "descending"
    heading.click()
    # Rows are put in order after the click has been answered; the heading says so last.
    expect(heading).to_have_attribute("aria-sort", next_order, timeout=120_000)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["index.html", "explore.html"])
def test_no_page_scrolls_sideways(opened, name, width):
    tab = opened(name, width)
    tab.wait_for_selector("#leaderboard.dataTable, [data-chart] svg")
    needed, there = tab.evaluate(PLACED)
    assert needed <= there == width


@pytest.mark.parametrize("width", [1400, 1600])
def test_no_table_is_wider_than_its_page(opened, width):
    tab = board(opened("index.html", width))
    tab.evaluate("() => document.querySelectorAll('details').forEach(one => (one.open = true))")
    over = "() => [...document.querySelectorAll('.scroll')].map(one => one.scrollWidth - one.clientWidth)"
    assert tab.evaluate(over) and max(tab.evaluate(over)) <= 0


def test_a_reader_chooses_columns(opened):
    tab = board(opened("index.html"))
    heads = "#leaderboard thead th"
    before = tab.locator(heads).all_inner_texts()
    assert not any("Quantize" in head for head in before)
    tab.locator(".columns summary").click()
    tab.get_by_role("checkbox", name="Quantize").check()
    tab.get_by_role("checkbox", name="Test top-1 (%)").uncheck()
    after = [head.split("\n")[0] for head in tab.locator(heads).all_inner_texts()]
    assert "Quantize" in after and "Test top-1" not in after and len(after) == len(before)


def test_a_link_to_a_folded_table_opens_it(opened):
    tab = opened("index.html", 1400)
    table = tab.locator("details.table").first
    table.evaluate("one => (one.open = false)")
    tab.locator(f"nav a[href='#{table.get_attribute('id')}']").click()
    tab.wait_for_function("() => document.querySelector('details.table').open")


def test_each_page_is_small(built):
    assert all(0 < path.stat().st_size < LARGEST for path in built.folder.glob("*.html"))
    assert len(list(built.folder.glob("*.html"))) == 2


def test_columns_sort_as_numbers_and_what_is_missing_stands_last(opened):
    tab = board(opened("index.html"))
    start = names(tab)
    sort(tab, "File")
    falling = column(tab, "File")
    known = [value for value in falling if value is not None]
    assert names(tab) != start and None in falling and len(set(known)) > 2
    assert falling == sorted(known, reverse=True) + [None] * (len(falling) - len(known))
    assert known != sorted(known, key=str, reverse=True)
    sort(tab, "File")
    assert column(tab, "File") == sorted(known) + [None] * (len(falling) - len(known))


def test_the_best_on_the_validation_split_stands_first(opened):
    found = column(board(opened("index.html")), "Validation top-1")
    known = [value for value in found if value is not None]
    assert found == [*sorted(known, reverse=True), None]


def test_a_network_that_is_not_made_yet_has_no_accuracy(opened):
    tab = board(opened("index.html"))
    row = tab.locator("#leaderboard tbody tr").last
    assert f"{HOSTILE}, plain" in row.inner_text() and "0 of 2" in row.inner_text()
    # Its pruned network has one already.
    assert [column(tab, head)[-1] for head in ("Validation top-1", "Test top-1", "File")] == [None] * 3


def test_search_reads_names_and_labels(opened):
    tab = board(opened("index.html"))
    everything = names(tab)
    tab.locator(".dt-search input").fill("calibrated")
    found = names(tab)
    assert 0 < len(found) < len(everything) and all("calibrated" in name for name in found)
    # A label that the baseline's name does not show.
    tab.locator(".dt-search input").fill("dense")
    assert "baseline" in names(tab)
    tab.locator(".dt-search input").fill("no such thing")
    assert "No configuration matches." in tab.locator("#leaderboard tbody").inner_text()


def test_no_text_of_a_study_runs(opened):
    tab = board(opened("index.html"))
    title = tab.title()
    tab.locator(".dt-search input").fill("onerror=document")
    assert any(HOSTILE in name for name in names(tab))
    for word in ("a & b", "<img", "&"):
        tab.locator(".dt-search input").fill(word)
        assert names(tab) and all(HOSTILE in name for name in names(tab))
    assert tab.title() == title and not tab.locator("#leaderboard img").count()


def test_a_page_runs_its_own_scripts_alone(browser, built, tmp_path):
    text = (built.folder / "index.html").read_text()
    planted = "<script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">"
    (tmp_path / "index.html").write_text(text.replace("<main>", f"<main>{planted}"))
    context = browser.new_context()
    tab = context.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    board(tab)
    assert tab.title() != "ran"
    context.close()


def test_pictures_are_loaded(opened):
    tab = opened("index.html")
    pictures = tab.locator("figure img")
    assert pictures.count() == 2
    for place in range(pictures.count()):
        pictures.nth(place).scroll_into_view_if_needed()
        tab.wait_for_function("place => document.querySelectorAll('figure img')[place].naturalWidth > 0", arg=place)


def test_commands_are_shown_and_copied(opened, built):
    tab = board(opened("index.html"))
    tab.locator("#commands summary").click()
    lines = tab.locator("#commands .commands code").all_inner_texts()
    assert len(lines) == len(built.study["runs"]) and all(line.startswith("python workflow/scripts/") for line in lines)
    tab.locator("tr", has=tab.get_by_text("baseline", exact=True)).locator("button.copy").click()
    tab.get_by_text("Copied").wait_for()
    copied = tab.evaluate("() => navigator.clipboard.readText()").split(" && ")
    of_baseline = [point["runs"] for point in built.study["points"] if point["labels"] == built.study["baseline"]]
    ids = list(dict.fromkeys(id_ for runs in of_baseline for id_ in runs.values()))
    assert copied == [tab.locator(f"#run-{id_}").text_content() for id_ in ids] and len(copied) > 2


def test_a_failed_run_shows_its_log(opened, built):
    row = opened("index.html").locator("#answers tr", has_text="failed")
    row.locator("summary").click()
    assert "CUDA out of memory" in row.locator("pre").inner_text() and row.locator("pre").is_visible()
    assert built.study["runs"][built.broken]["path"].rpartition("/")[2] in row.inner_text()


def strong(chart) -> int:
    """Thin lines that are not faded, of a plot of parallel coordinates."""
    return chart.locator("path[stroke-width='1.4'][opacity='0.85']").count()


def test_a_line_stands_out_under_the_pointer_and_a_box_keeps_what_crosses_it(opened):
    tab = opened("explore.html")
    tab.wait_for_function(DRAWN)
    # The grid, accuracy against cost, and a plot for each of three configurations that quantize.
    assert tab.locator("[data-chart]").count() == 5
    chart = tab.locator(".widths").first
    chart.scroll_into_view_if_needed()
    box = chart.locator("svg").bounding_box()

    def move(across: float, down: float, steps: int = 1) -> None:
        tab.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=steps)

    assert strong(chart) == 36 and not chart.locator("path[stroke='#D55E00']").count()
    for part in range(30, 95, 2):
        move(0.4, part / 100)
        if tab.locator("#vg-tooltip-element.visible").count():
            break
    assert "bits" in tab.locator("#vg-tooltip-element").inner_text()
    assert chart.locator("path[stroke='#D55E00']").count() == 1
    # Around the first axis from its foot to half its height: three of the six widths of weights.
    left = (chart.locator("path[stroke-width='1.4']").first.bounding_box()["x"] - box["x"]) / box["width"]
    move(left - 0.008, 0.98)
    tab.mouse.down()
    move(left + 0.05, 0.6, steps=4)
    tab.mouse.up()
    assert strong(chart) == 18
    move(0.4, 0.3)
    tab.mouse.down()
    tab.mouse.up()
    assert strong(chart) == 36


def test_the_reader_chooses_the_cost(opened):
    tab = opened("explore.html")
    tab.wait_for_function(DRAWN)
    chart = tab.locator(".pareto")
    before = chart.locator("svg").inner_html()
    chart.locator("select").select_option("File")
    tab.wait_for_function("old => document.querySelector('.pareto svg').innerHTML !== old", arg=before)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_follow_the_theme_of_the_page(opened, scheme):
    tab = opened("explore.html")
    tab.wait_for_function(DRAWN)
    tab.emulate_media(color_scheme=scheme)
    ink, paper = (tab.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    words = ".pareto .role-axis-title text"
    told = f"getComputedStyle(document.querySelector('{words}')).fill"
    tab.wait_for_function(f"ink => {told} === ink", arg=ink)
    assert tab.evaluate("getComputedStyle(document.querySelector('.chart')).backgroundColor") == "rgba(0, 0, 0, 0)"
    halos = tab.locator(".widths text[stroke]").first
    assert halos.evaluate("text => getComputedStyle(text).stroke") == paper
