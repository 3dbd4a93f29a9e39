"""The report's page, looked at in a browser."""

import browser
import pytest
from conftest import ROOT

from experiments import _report


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser and the address of a page with the committed data."""
    program = browser.find()
    if program is None:
        pytest.skip("there is no browser: install chromium, or name one in the variable CHROME")
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    file.write_text(_report.render(_report.load(ROOT / "figures")))
    with browser.Browser(program, folder / "profile") as opened:
        yield opened, file.as_uri()


def test_the_browser_tells_what_a_page_does(page, tmp_path):
    """The console, errors and requests of a page are seen: so their absence elsewhere means something."""
    opened, _ = page
    file = tmp_path / "bad.html"
    file.write_text("<img src=http://127.0.0.1:9/x.png><script>console.log('hello'); oops()</script>")
    opened.open(file.as_uri())
    complaints = " ".join(opened.complaints())
    for word in ("127.0.0.1:9/x.png", "hello", "oops"):
        assert word in complaints


def test_the_page_in_a_browser(page, tmp_path):
    """No errors, no requests; the claims come first; verdicts can be filtered; nothing is wider than the window."""
    opened, address = page
    for width in (1280, 390):
        opened.open(address, width)
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        opened.screenshot(tmp_path / f"{width}.png", whole=True)
        assert (tmp_path / f"{width}.png").read_bytes().startswith(b"\x89PNG")
    assert opened.evaluate("document.querySelectorAll('tr.claim').length") > 0
    assert opened.evaluate("[...document.images].slice(0, -1).every(x => x.complete && x.naturalWidth > 100)")
    for verdict in opened.evaluate("[...document.querySelectorAll('.filter input')].slice(1).map(x => x.id.slice(5))"):
        opened.evaluate(f"document.getElementById('show-{verdict}').click()")
        shown = "[...document.querySelectorAll('tr.claim')].filter(x => x.getClientRects().length)"
        assert opened.evaluate(f"{shown}.length > 0 && {shown}.every(x => x.classList.contains('{verdict}'))")
    assert opened.complaints() == []


def test_figures_enlarge_by_keyboard(page):
    """Tab leads to a figure, Enter enlarges it, Escape closes it and leads back."""
    opened, address = page
    opened.open(address)
    for _ in range(60):
        opened.press("Tab")
        if opened.evaluate("document.activeElement.className") == "enlarge":
            break
    opened.press("Enter")
    assert opened.evaluate("document.querySelector('dialog').open")
    same = "document.querySelector('dialog img').src === document.querySelector('.enlarge img').src"
    assert opened.evaluate(same)
    opened.press("Escape")
    opened.wait_for("!document.querySelector('dialog').open")
    assert opened.evaluate("document.activeElement.className") == "enlarge"
    opened.evaluate("document.querySelector('.enlarge').click()")
    opened.evaluate("document.querySelector('.sheet').click()")
    assert not opened.evaluate("document.querySelector('dialog').open")
    assert opened.complaints() == []
