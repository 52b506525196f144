"""The page as a browser shows it, opened from its file: nothing is asked of a network, and everything answers to keys."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.core.report.page import write_report

from .test_page import page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytest.importorskip("selenium", reason="selenium drives the browser")
if not (CHROMIUM and DRIVER):
    pytest.skip("chromium or chromedriver is missing", allow_module_level=True)

from selenium.webdriver import Chrome, ChromeOptions  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

QUIET = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-quic --hide-scrollbars --force-prefers-reduced-motion"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    return Path(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def address(timed: Any, trained: Any, folder: Path) -> str:
    html, _ = write_report([page(timed, folder), page(trained, folder)], folder)
    return html.as_uri()


@pytest.fixture(scope="module")
def chrome(folder: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in QUIET.split():
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "saved")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def opened(chrome: Chrome, address: str) -> Chrome:
    """The page, light and wide, as it is when it opens."""
    narrow(chrome, 1280)
    chrome.get("about:blank")
    chrome.get(address)
    chrome.execute_script("localStorage.clear()")
    return chrome


def narrow(chrome: Chrome, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def texts(chrome: Chrome, selector: str) -> list[str]:
    """The texts of what is seen."""
    found = chrome.find_elements("css selector", selector)
    return [element.text for element in found if element.is_displayed()]


def press(chrome: Chrome, *keys: str) -> None:
    ActionChains(chrome).send_keys(*keys).perform()


def focused(chrome: Chrome, property: str) -> Any:
    return chrome.execute_script("return document.activeElement[arguments[0]]", property)


def test_no_request_leaves_the_page_and_the_console_is_silent(opened: Chrome, address: str) -> None:
    asked = [
        message["params"]["request"]["url"]
        for entry in opened.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert address in asked, "the log is kept"
    assert {url for url in asked if not url.startswith("data:")} <= {address, "about:blank"}
    assert opened.get_log("browser") == []


@pytest.mark.parametrize("plot", [0, 1, 2, 3])
def test_the_mouse_shows_the_value_and_the_interval_that_are_under_it(
    opened: Chrome, plot: int, timed: Any, trained: Any
) -> None:
    figure = opened.find_elements("css selector", "svg[data-spots]")[plot]
    for name, colour, spots in json.loads(str(figure.get_attribute("data-spots"))):
        x, y, said = spots[-1]
        opened.execute_script(
            "arguments[0].scrollIntoView({block: 'center'});"
            "const at = new DOMPoint(arguments[1], arguments[2]).matrixTransform(arguments[0].getScreenCTM());"
            "arguments[0].dispatchEvent(new PointerEvent('pointermove', {clientX: at.x, clientY: at.y}))",
            figure,
            x,
            y,
        )
        (shown,) = texts(opened, "#tip")
        assert shown == f"{name}\n{said}"
        drawn = opened.execute_script(
            "return arguments[0].querySelector('.ring').getAttribute('stroke')", figure
        )
        assert drawn == colour
    if plot == 0:
        row = timed.comparison.query("variant == 'online' and metric == 'time' and columns == 256000").iloc[0]
        assert shown.startswith("online\ncolumns 256,000: ") and shown.endswith("]")
        figures = [float(word.strip("[],")) for word in shown.partition(": ")[2].replace(" ms", "").split()]
        assert figures == pytest.approx(list(row[["estimate", "low", "high"]]), rel=0.01)


def test_a_marker_is_where_its_value_is_said_to_be(opened: Chrome) -> None:
    """What matplotlib drew and where the page believes it to be are the same places."""
    figure = opened.find_elements("css selector", "svg[data-spots]")[0]
    marks = opened.execute_script(
        "return [...arguments[0].querySelectorAll('[id*=series-] use')]"
        ".map((use) => [+use.getAttribute('x'), +use.getAttribute('y')])",
        figure,
    )
    said = [spot[:2] for _, _, spots in json.loads(str(figure.get_attribute("data-spots"))) for spot in spots]
    assert len(marks) == len(said) == 9
    for mark, spot in zip(marks, said, strict=True):
        assert mark == pytest.approx(spot, abs=0.1)


def test_arrows_go_from_value_to_value_and_from_line_to_line(opened: Chrome) -> None:
    press(opened, Keys.TAB)
    while focused(opened, "tagName") != "svg":
        press(opened, Keys.TAB)
    shown = [texts(opened, "#tip")[0]]
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_LEFT):
        press(opened, key)
        shown.append(texts(opened, "#tip")[0])
    assert [text.partition(": ")[0] for text in shown] == [
        "loop\ncolumns 1,000",
        "loop\ncolumns 32,000",
        "safe\ncolumns 32,000",
        "safe\ncolumns 1,000",
    ]
    press(opened, Keys.ESCAPE)
    assert texts(opened, "#tip") == []


def test_a_finger_shows_a_value_until_it_touches_elsewhere(opened: Chrome) -> None:
    figure = opened.find_element("css selector", "svg[data-spots]")
    opened.execute_script(
        "const [x, y] = JSON.parse(arguments[0].dataset.spots)[0][2][0];"
        "const at = new DOMPoint(x, y).matrixTransform(arguments[0].getScreenCTM());"
        "for (const kind of ['pointerdown', 'pointerleave']) arguments[0].dispatchEvent(new PointerEvent(kind,"
        "  {clientX: at.x, clientY: at.y, pointerType: 'touch', bubbles: kind === 'pointerdown'}))",
        figure,
    )
    assert texts(opened, "#tip")[0].startswith("loop\ncolumns 1,000: ")
    opened.find_element("css selector", "h2").click()
    assert texts(opened, "#tip") == []


def test_what_is_folded_is_printed_and_folded_again(opened: Chrome) -> None:
    count = "return [document.querySelectorAll('details').length, document.querySelectorAll('details[open]').length]"
    all_, before = opened.execute_script(count)
    assert opened.execute_script("dispatchEvent(new Event('beforeprint'));" + count) == [all_, all_]
    assert (
        opened.execute_script("dispatchEvent(new Event('afterprint'));" + count) == [all_, before]
        and before < all_
    )


def test_claims_are_chosen_by_verdict_and_by_words(opened: Chrome) -> None:
    words = ".claims tbody .verdict"
    assert len(texts(opened, words)) == 5, "one of six is not tested, and folded"
    fails = opened.find_element("css selector", ".chip[data-verdict='fails here']")
    fails.click()
    assert texts(opened, words) == ["✗ fails here"] and fails.get_attribute("aria-pressed") == "true"
    assert texts(opened, "h2") == ["Softmax"], "an experiment without such a claim is out of the way"
    assert texts(opened, "#filter .found") == ["1 of 6 claims"]
    fails.click()
    search = opened.find_element("css selector", "#filter input")
    search.send_keys("ABSENT says")
    assert texts(opened, words) == ["– not tested"], "what is folded is found"
    search.send_keys(Keys.ESCAPE)
    assert len(texts(opened, words)) == 5 and texts(opened, "#filter .found") == []


def test_a_square_leads_to_its_claim(opened: Chrome) -> None:
    opened.find_element("css selector", ".chip[data-verdict='holds']").click()
    square = opened.find_element("css selector", ".cells a[href='#softmax-claim-absent']")
    assert square.get_attribute("aria-label") == "not tested: What absent says."
    square.click()
    wait(lambda: focused(opened, "id") == "softmax-claim-absent")
    top, bottom = opened.execute_script(
        "const box = document.activeElement.getBoundingClientRect(); return [box.top, box.bottom]"
    )
    head = opened.execute_script("return document.querySelector('#filter').getBoundingClientRect().bottom")
    assert head <= top < bottom <= 900
    assert texts(opened, "#filter .found") == [], "the filter that hid it is gone"


def test_heads_stay_above_their_rows(opened: Chrome) -> None:
    opened.execute_script("document.querySelectorAll('.claims tbody tr')[3].scrollIntoView()")
    bar, head = opened.execute_script(
        "return [document.querySelector('#filter'), document.querySelector('.claims thead th')]"
        ".map((part) => part.getBoundingClientRect().top)"
    )
    assert bar == pytest.approx(0, abs=1) and 0 < head < 60


def test_refused_rows_are_folded(opened: Chrome) -> None:
    assert not any("gpu only" in row for row in texts(opened, ".figures tbody tr"))
    assert any("wrong" in row for row in texts(opened, ".figures tbody tr")), "what is wrong stays in sight"
    opened.find_element("css selector", ".folded summary").click()
    assert texts(opened, ".folded li") == ["gpu only, columns all: refused: needs a GPU"]


def test_dark_is_chosen_and_remembered(opened: Chrome, address: str) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = opened.execute_script(ground)
    opened.find_element("css selector", "#theme").send_keys(Keys.ENTER)
    dark = opened.execute_script(ground)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(21, 24, 28)")
    ink = "return getComputedStyle(document.querySelector('svg text')).fill"
    assert opened.execute_script(ink) == "rgb(228, 231, 234)", "plots take the page's ink"
    opened.get(address)
    assert opened.execute_script(ground) == dark


def test_on_a_telephone_the_verdict_is_in_sight(opened: Chrome) -> None:
    narrow(opened, 420)
    assert opened.execute_script("return document.documentElement.scrollWidth") == 420
    verdicts = [
        word for word in opened.find_elements("css selector", ".claims .verdict") if word.is_displayed()
    ]
    assert len(verdicts) == 5
    for word in verdicts:
        assert word.rect["x"] >= 0 and word.rect["x"] + word.rect["width"] <= 420
    figure = opened.find_element("css selector", "svg[data-spots]")
    assert figure.rect["width"] <= 420


def test_a_plot_is_saved_as_png_svg_and_pdf(opened: Chrome, folder: Path) -> None:
    for element in opened.find_elements("css selector", "figcaption")[0].find_elements(
        "css selector", "button, a"
    ):
        element.click()
    files = [folder / "saved" / f"time-by-columns.{kind}" for kind in ("png", "svg", "pdf")]
    wait(lambda: all(file.is_file() and file.stat().st_size for file in files))
    png, svg, pdf = (file.read_bytes() for file in files)
    assert png.startswith(b"\x89PNG") and len(png) > 10_000 and pdf.startswith(b"%PDF")
    assert b"currentColor" not in svg and b"Time by columns" in svg


def test_the_finding_and_bibtex_are_taken_along(opened: Chrome) -> None:
    opened.find_element("css selector", ".cite summary").click()
    sentence, entries = texts(opened, ".cite .quoted > :first-child")
    assert sentence.startswith("First; 5 claims tried: 1 holds, 1 fails here") and "run k3vd" in sentence
    assert "@software{lab," in entries and "eprint = {1805.02867}" in entries
    button = opened.find_element("css selector", ".cite .copy")
    button.click()
    wait(lambda: button.text in ("copied", "selected"))


def wait(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)
