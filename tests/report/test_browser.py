"""The report as a real browser shows it, opened from disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclegan.report.page import write_curve, write_report
from tests.report.browser import CHROMIUM, Browser
from tests.report.run_folders import write_run, write_table
from tests.report.test_page import write_evil_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH (apt-get install chromium)")

SHOWN = "[...document.querySelectorAll('#images img')].filter(p => p.checkVisibility()).map(p => p.dataset.epoch)"
LABEL = "document.getElementById('epoch-label').textContent"
CURVES = "document.querySelectorAll('#{} .scatterlayer path.js-line').length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_run(tmp_path_factory.mktemp("runs") / "toy"))


def hover(browser: Browser, chart: str) -> str:
    """What a chart says under the mouse, which goes to its middle."""
    browser.ask(f"document.getElementById('{chart}').scrollIntoView({{behavior: 'instant', block: 'center'}})")
    area = f"document.querySelector('#{chart} .nsewdrag').getBoundingClientRect()"
    x, y = browser.ask(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({area})")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    said = browser.ask(
        "new Promise(done => { const wait = setInterval(() => {"
        f" const text = document.querySelector('#{chart} .hoverlayer').textContent;"
        " if (text) { clearInterval(wait); done(text); } }, 20); })"
    )
    assert isinstance(said, str)
    return said


def test_it_opens_without_complaint_and_asks_nobody(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert browser.complaints() == []
    page, *others = browser.requests()
    assert page == report.as_uri()
    assert all(address.startswith("data:") for address in others)


def test_the_browser_would_tell_of_errors_and_of_requests(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.error('no'); missing()</script>")
    browser.open(file)
    assert "http://127.0.0.1:9/x.png" in browser.requests()
    assert len(browser.complaints()) >= 3  # the message, the exception, what did not load


def test_every_image_loads(browser: Browser, report: Path) -> None:
    browser.open(report)
    widths = browser.ask(
        "Promise.all([...document.images].map(p => p.decode().then(() => p.naturalWidth)))"
    )  # also of those that are hidden
    assert widths == [48] * 5


def test_the_arrow_keys_move_the_slider_the_image_and_the_label(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert (browser.ask(SHOWN), browser.ask(LABEL)) == (["4"], "epoch 4")
    browser.ask("document.getElementById('epoch').focus()")
    browser.press("ArrowLeft")
    assert (browser.ask(SHOWN), browser.ask(LABEL)) == (["3"], "epoch 3")
    browser.press("Home")
    assert (browser.ask(SHOWN), browser.ask(LABEL)) == (["0"], "epoch 0")
    browser.press("ArrowRight")
    assert (browser.ask(SHOWN), browser.ask(LABEL)) == (["1"], "epoch 1")
    assert browser.ask("document.getElementById('epoch').getAttribute('aria-valuetext')") == "epoch 1"


def test_play_goes_from_the_first_image_to_the_last(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.ask(
        "window.seen = []; new MutationObserver(() => seen.push(document.getElementById('epoch-label').textContent))"
        ".observe(document.getElementById('epoch-label'), {childList: true})"
    )
    browser.ask("document.getElementById('play').click()")
    assert browser.ask("document.getElementById('play').getAttribute('aria-pressed')") == "true"
    browser.ask(
        "new Promise(done => { const wait = setInterval(() => {"
        " if (document.getElementById('play').ariaPressed === 'false') { clearInterval(wait); done(); } }, 20); })"
    )
    assert browser.ask("seen") == ["epoch 0", "epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    assert browser.ask(SHOWN) == ["4"]


def test_the_curves_are_drawn_and_folded_ones_when_they_are_opened(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert browser.ask("document.querySelectorAll('#val-0-psnr .scatterlayer .point').length") == 5
    assert browser.ask("document.querySelector('#val-0-psnr .scatterlayer path.js-line').getTotalLength()") > 100
    assert [browser.ask(CURVES.format(key)) for key in ("val-0-psnr", "val-0-kid", "train-0-adv", "lr")] == [2, 1, 2, 1]
    assert browser.ask("document.querySelectorAll('#val-0-kid .yerror').length") == 5
    assert browser.ask(CURVES.format("val-0-variety")) == 0
    browser.ask(
        "new Promise(done => { const folded = document.getElementById('val-0-variety').closest('details');"
        " folded.addEventListener('toggle', () => setTimeout(done)); folded.open = true; })"
    )
    assert browser.ask(CURVES.format("val-0-variety")) == 1
    assert browser.complaints() == []


def test_hovering_says_images_epoch_and_value(browser: Browser, report: Path) -> None:
    browser.open(report)
    said = hover(browser, "val-0-psnr")  # in the middle of 0 to 40 images
    assert said.startswith("20 images")
    assert "A→B : 19  ·  epoch 2" in said


@pytest.mark.parametrize(("scheme", "expected"), [("light", "rgb(47, 109, 181)"), ("dark", "rgb(107, 164, 231)")])
def test_the_curves_take_the_colours_of_the_theme(browser: Browser, report: Path, scheme: str, expected: str) -> None:
    browser.open(report)
    other = "light" if scheme == "dark" else "dark"
    for value in (other, scheme):  # the theme may change while the page is open
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])
    browser.ask("new Promise(done => requestAnimationFrame(() => setTimeout(done, 100)))")
    assert browser.ask("document.querySelector('#val-0-psnr path.js-line').style.stroke") == expected


def test_a_narrow_screen_needs_no_scrolling_sideways(browser: Browser, report: Path) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1, mobile=True)
    browser.open(report)
    assert browser.ask("document.documentElement.scrollWidth") == 360
    browser.call("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize("width", [1280, 1024, 360])
def test_no_metric_is_wider_than_its_card(browser: Browser, tmp_path: Path, width: int) -> None:
    small = {"val/kid_ab": -0.00041094, "val/kid_spread_ab": 0.000581, "val/kid_ba": -1.23456e-12, "val/fid": 1234.567}
    write_table(tmp_path / "metrics.csv", [{"images_seen": 10, "epoch": 1.0, **small}])
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(write_report(tmp_path))
    wide = "[...document.querySelectorAll('.card')].filter(card => card.scrollWidth > card.clientWidth).length"
    assert browser.ask("document.querySelectorAll('.card').length") == 3
    assert browser.ask(wide) == 0
    assert browser.ask("document.querySelector('.latest').innerText") == "−0.00041 ± 0.00058"
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_names_that_try_to_be_code_do_not_run(browser: Browser, tmp_path: Path) -> None:
    browser.open(write_report(write_evil_run(tmp_path)))
    assert browser.ask("typeof window.evil") == "undefined"
    assert browser.complaints() == []
    assert browser.ask("document.querySelectorAll('.scatterlayer .point').length") > 0
    assert "</script><script>" in hover(browser, "train-0-adv")


def test_an_empty_run_has_a_page_too(browser: Browser, tmp_path: Path) -> None:
    browser.open(write_report(tmp_path))
    assert browser.complaints() == []


def test_the_curves_of_several_checkpoints_are_drawn(browser: Browser, tmp_path: Path) -> None:
    rows = [{"images": 10 * epoch, "epoch": epoch, "psnr_ab": 15 + epoch, "mine": 1.0} for epoch in (1, 2, 3)]
    browser.open(write_curve(rows, tmp_path / "curve.html"))
    assert browser.complaints() == []
    assert [browser.ask(CURVES.format(key)) for key in ("val-0-psnr", "val-0-mine")] == [1, 1]
