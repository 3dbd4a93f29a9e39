"""The report's page, looked at in an installed browser; without one these tests are skipped."""

import os
import shutil

import pytest
from conftest import ROOT
from reporting import committed_report

from experiments import _report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SHOWN = "[...document.querySelectorAll('tr.claim')].filter(x => x.getClientRects().length)"


@pytest.fixture(scope="module")
def browser():
    """A browser: that of the variable CHROME, else the first one that is installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no browser: install chromium, or name one in the variable CHROME")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a page with the committed data."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(_report.render(committed_report()))
    return file.as_uri()


@pytest.fixture
def show(browser, address):
    """A function that opens a page in a window of a size; at the end there must be no errors, and no requests."""
    opened, complaints = [], []

    def open_page(width=1280, height=900, address=address, **options):
        page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(address)
        opened.append(page)
        return page

    open_page.complaints = complaints
    yield open_page
    for page in opened:
        page.close()


def bad(complaints):
    """List the complaints about a page other than that it was opened, with its pictures."""
    return [text for text in complaints if not text.startswith(("file:", "data:"))]


def test_the_browser_tells_what_a_page_does(show, tmp_path):
    """The console, errors and requests of a page are seen: so their absence elsewhere means something."""
    file = tmp_path / "bad.html"
    file.write_text("<img src=http://127.0.0.1:9/x.png><script>console.log('hello'); oops()</script>")
    show(address=file.as_uri())
    for word in ("127.0.0.1:9/x.png", "hello", "oops"):
        assert word in " ".join(bad(show.complaints))


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_first_screen_answers(width, height, show):
    """The answer, its scale and the beginning of the picture are on it; nothing is wider than the window."""
    page = show(width, height)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('.scale').getBoundingClientRect().bottom < innerHeight")
    assert page.evaluate("document.querySelector('figure').getBoundingClientRect().top < innerHeight")
    assert page.evaluate("[...document.images].slice(0, -1).every(x => x.complete && x.naturalWidth > 100)")
    # What stands beside a label keeps to its column, the unit beside its number.
    labelled = "[...document.querySelectorAll('.rows p[data-label=Here]')]"
    assert page.evaluate(f"{labelled}.every(x => x.childNodes.length === 1)")
    # 13 points of a figure are 10 pixels on the screen: of 6 inches on a phone, of 13 elsewhere.
    drawn, shown = (780, 340) if width == 390 else (1690, 730)
    images = "[...document.images].slice(1, -1)"
    assert page.evaluate(f"{images}.every(x => x.naturalWidth === {drawn})")
    assert page.evaluate(f"{images}.every(x => x.getBoundingClientRect().width >= {shown})")
    assert bad(show.complaints) == []


@pytest.mark.parametrize(("width", "num_columns"), [(1280, 3), (390, 1)])
def test_the_scoreboard_fits(width, num_columns, show):
    """Its columns are beside each other where there is room, else below; its links lead to claims."""
    page = show(width)
    page.evaluate("document.querySelector('nav a[href=\"#scoreboard\"]').click()")
    rows = "[...document.querySelectorAll('.board > .row')]"
    lefts = "new Set([...x.children].map(y => Math.round(y.getBoundingClientRect().left))).size"
    assert page.evaluate(f"{rows}.map(x => {lefts})") == [num_columns] * page.evaluate(f"{rows}.length")
    assert page.evaluate(f"{rows}.every(x => x.scrollWidth <= x.clientWidth)")
    assert page.evaluate(
        "[...document.querySelectorAll('.board li a')].every(x => document.querySelector(x.hash + '.claim'))"
    )
    page.emulate_media(media="print")
    assert page.evaluate("document.querySelector('#scoreboard').getClientRects().length")
    assert page.evaluate(f"{rows}.every(x => getComputedStyle(x).breakInside === 'avoid')")
    assert bad(show.complaints) == []


def test_claims_are_filtered_and_found(show):
    """Each verdict, and words; a caveat is shown with the claim that it is about."""
    page = show()
    everything = page.evaluate(f"{SHOWN}.length")
    for verdict in page.evaluate("[...document.querySelectorAll('.filter input')].slice(1).map(x => x.id.slice(5))"):
        page.evaluate(f"document.getElementById('show-{verdict}').click()")
        assert 0 < page.evaluate(f"{SHOWN}.length") < everything
        others = f"{SHOWN}.filter(x => !x.classList.contains('{verdict}'))"
        assert page.evaluate(f"{others}.every(x => x.classList.contains('context'))")
        parents = f"{SHOWN}.map(x => x.dataset.parent).filter(Boolean).map(x => document.getElementById(x))"
        assert page.evaluate(f"{parents}.every(x => x.getClientRects().length)")
    page.evaluate("document.getElementById('show-all').click()")
    page.fill("#search", "noisy accuracy")
    assert 0 < page.evaluate(f"{SHOWN}.length") < everything
    found = f"{SHOWN}.filter(x => !x.classList.contains('context'))"
    assert page.evaluate(f"{found}.every(x => /noisy/i.test(x.textContent) && /accuracy/i.test(x.textContent))")
    page.evaluate("location.hash = 'claim-depth_bounded'")
    page.wait_for_function("document.getElementById('claim-depth_bounded').getClientRects().length")
    assert page.input_value("#search") == ""
    assert bad(show.complaints) == []


def test_figures_enlarge_by_keyboard(show):
    """Tab leads to a figure, Enter enlarges it, Escape closes it and leads back."""
    page = show()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "enlarge":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('dialog').open")
    assert page.evaluate(
        "document.querySelector('dialog img').src === document.querySelector('.enlarge img').currentSrc"
    )
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('dialog').open")
    assert page.evaluate("document.activeElement.className") == "enlarge"
    page.evaluate("document.querySelector('.enlarge').click()")
    page.evaluate("document.querySelector('.sheet').click()")
    assert not page.evaluate("document.querySelector('dialog').open")
    assert bad(show.complaints) == []


def test_print_and_dark(show):
    """In print, figures are as high as a page at most, and what is folded is shown; in the dark, pictures are inverted."""
    page = show()
    page.emulate_media(media="print")
    assert page.evaluate("[...document.images].slice(0, -1).every(x => x.getBoundingClientRect().height <= 832)")
    assert page.evaluate("getComputedStyle(document.querySelector('h2')).breakAfter") == "avoid"
    assert page.evaluate("document.querySelector('article details li').getClientRects().length")
    assert not page.evaluate("document.querySelector('.tools').getClientRects().length")
    page.emulate_media(media="screen", color_scheme="dark")
    assert "invert" in page.evaluate("getComputedStyle(document.querySelector('.enlarge img')).filter")


@pytest.mark.slow
def test_the_page_is_small():
    """At most 300 kB a figure; the pictures of the library guide too."""
    pictures = [*(ROOT / "figures").glob("**/*.png")]
    shown = [picture for picture in pictures if not picture.name.startswith("scan_")]
    assert len(_report.render(committed_report())) < 300_000 * len(shown)
    assert all(picture.stat().st_size <= 225_000 for picture in pictures)  # three quarters, before they are text
