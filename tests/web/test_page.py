"""The page in Chromium, driven by Selenium; axe-core checks its accessibility."""

import base64
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import LITE, REPOSITORY
from PIL import Image

from dogsim import Dataset, create_dataset
from dogsim.image_files.facts import ImageFacts
from dogsim.plumbing.tables import exact_cell, exact_text
from dogsim.trust.findings import Audit, PoorImage, SuspiciousLabel
from dogsim.trust.report import save_audit

pytest.importorskip("starlette", reason='the page needs pip install "dogsim[web]"')
pytest.importorskip("selenium", reason='Selenium needs pip install "dogsim[web-test]"')
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,  # a minute; the routes have tests of their own
    pytest.mark.skipif(
        DRIVER is None, reason="no chromedriver: apt-get install chromium chromium-driver"
    ),
]
EXPLANATION_SECONDS = 120  # a busy machine needs to prepare the network for explanations
AXE = os.environ.get("DOGSIM_TEST_AXE", "")
HOSTILE = "<img src=x onerror=alert(1)>"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture(scope="module")
def address(breeds_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a dataset with a hostile breed name in a process and return the address."""
    file = tmp_path_factory.mktemp("page") / "d.h5"
    dataset = create_dataset(breeds_dir, file, LITE)
    replace(dataset, breeds=("red setter", HOSTILE)).save(file)
    command = ["-c", "from dogsim.cli import app; app()", "serve", "--dataset", str(file)]
    process = subprocess.Popen(
        [sys.executable, *command, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=REPOSITORY,
    )
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())["address"]
    finally:
        process.kill()
        process.communicate()


class Page:
    """A browser that shows the page."""

    def __init__(self, address: str) -> None:
        options = Options()
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(DRIVER))
        self.address = address
        self.all_requests: list[str] = []  # URLs

    def open(self, path: str = "/") -> None:
        self.driver.get(self.address + path)
        self.wait(lambda: self.js("return document.querySelectorAll('main .tile').length") > 0)

    def js(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, self.text("main") + self.text("#why")
            time.sleep(0.05)
        return found

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        return str(self.js("return document.querySelector(arguments[0])?.innerText", selector))

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def focused(self) -> str:
        return str(self.js("return document.activeElement.outerHTML"))

    def fetch(self, path: str) -> Any:
        """Return the JSON of a route."""
        script = "fetch(arguments[0]).then((x) => x.json()).then(arguments[1])"
        return self.driver.execute_async_script(script, path)

    def emulate(self, command: str, **parameters: object) -> None:
        self.driver.execute_cdp_cmd(f"Emulation.{command}", parameters)

    def errors(self) -> list[str]:
        return [str(each["message"]) for each in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """Return the URLs requested since the last call."""
        log = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(each["message"])["message"] for each in log]
        sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
        urls = [str(each["params"]["request"]["url"]) for each in sent]
        self.all_requests += urls
        return urls


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Page]:
    page = Page(address)
    try:
        yield page
    finally:
        page.driver.quit()


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """Yield the page; then check that it logged no error and sent no request elsewhere."""
    browser.errors()
    browser.requests()
    browser.all_requests.clear()
    yield browser
    browser.requests()
    internal = ("data:", "about:", "chrome:")
    urls = [url for url in browser.all_requests if not url.startswith(internal)]
    assert urls
    assert [url for url in urls if not url.startswith(browser.address + "/")] == []
    assert browser.errors() == []


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that is not in the dataset: red, with a stripe."""
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[..., 0] = 200
    pixels[40:60] = 255
    file = tmp_path_factory.mktemp("photo") / "mine.png"
    Image.fromarray(pixels).save(file)
    return file


def wait_for_network(page: Page) -> None:
    page.wait(lambda: "is loading" not in page.text("#network"), 60)


def test_a_chosen_file_is_answered_and_k_changes_without_another_upload(
    page: Page, photo: Path
) -> None:
    page.open()
    wait_for_network(page)
    page.all("#file")[0].send_keys(str(photo))
    page.wait(lambda: "query=" in page.driver.current_url)
    page.wait(lambda: len(page.all("#neighbours .tile")) == 5)
    assert "k=5" in page.driver.current_url
    assert page.text("#answer h1")
    page.requests()
    page.js("""const k = document.getElementById('k'); k.value = 2;
               k.dispatchEvent(new Event('input'))""")
    page.wait(lambda: len(page.all("#neighbours .tile")) == 2)
    assert "k=2" in page.driver.current_url
    urls = page.requests()
    assert any("/api/answer?" in url for url in urls)
    assert not any(url.endswith("/api/queries") for url in urls)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(page: Page, photo: Path, kind: str) -> None:
    page.open()
    wait_for_network(page)
    page.js(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "mine.png", { type: "image/png" }));
        const event = arguments[1] === "drop" ? new DragEvent("drop", { dataTransfer: data })
          : new ClipboardEvent("paste", { clipboardData: data });
        window.dispatchEvent(event);
        """,
        base64.b64encode(photo.read_bytes()).decode(),
        kind,
    )
    page.wait(lambda: "query=" in page.driver.current_url)
    page.wait(lambda: len(page.all("#neighbours .tile")) == 5)
    shown = page.all("#query-image img")[0]
    page.wait(lambda: page.js("return arguments[0].naturalWidth", shown) == 120)


def test_links_history_and_shared_urls(page: Page) -> None:
    page.open("/?row=0&k=3&metric=cosine")
    page.wait(lambda: len(page.all("#neighbours .tile")) == 3)
    first = page.text("#neighbours")
    page.all("#neighbours .tile a")[0].click()
    page.all("#viewer-search")[0].click()
    page.wait(lambda: "row=0" not in page.driver.current_url)
    assert not page.js("return document.getElementById('viewer').open")
    assert "k=3&metric=cosine" in page.driver.current_url
    page.wait(lambda: page.text("#neighbours") != first)
    shared = page.driver.current_url.removeprefix(page.address)
    second = page.text("#neighbours")
    page.driver.back()
    page.wait(lambda: page.text("#neighbours") == first)
    assert "row=0" in page.driver.current_url
    page.open(shared)
    page.wait(lambda: page.text("#neighbours") == second)


def test_hovering_over_a_neighbour_shows_maps_on_both_images(page: Page) -> None:
    page.open("/?row=0&k=3")
    wait_for_network(page)
    tile = page.wait(lambda: page.all("#neighbours .tile"))[1]
    page.wait(lambda: page.js("return document.querySelector('#query-image img').naturalWidth"))
    webdriver.ActionChains(page.driver).move_to_element(tile).perform()
    page.wait(
        lambda: page.all("#query-image .map rect") and page.all(".tile .map rect"),
        EXPLANATION_SECONDS,
    )
    assert len(page.all("#query-image .map rect")) >= 81
    webdriver.ActionChains(page.driver).move_to_element(page.all("header")[0]).perform()
    page.wait(lambda: not page.all(".map"))


def test_pointing_to_a_place_shows_its_best_match(page: Page) -> None:
    page.open("/?row=0&k=3")
    wait_for_network(page)
    page.wait(lambda: page.all("#neighbours .tile a"))[0].click()
    page.all("#viewer-why")[0].send_keys(Keys.ENTER)
    page.wait(lambda: len(page.all("#why .map rect")) >= 98, EXPLANATION_SECONDS)
    layer = page.all("#why-query .map")[0]

    def point() -> list[int]:
        webdriver.ActionChains(page.driver).move_to_element_with_offset(layer, 3, 3).perform()
        return _match(page)

    place = page.wait(point)
    assert place[2:] == _best_of(page, *place[:2])
    assert len(page.all("#why-other .pointed")) == 2
    page.press(Keys.ESCAPE)  # closes one of two dialogs
    page.wait(lambda: not page.js("return document.getElementById('why').open"))
    assert 'id="viewer-why"' in page.focused
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.js("return document.getElementById('viewer').open"))
    page.wait(lambda: "row=" in page.focused)


def _match(page: Page) -> list[int]:
    """Return row and column of the place that is pointed to and of its match, [] if none is."""
    text = r"Row (\d+), column (\d+) has its best match in row (\d+), column (\d+)"
    found = re.match(text, page.text("#match"))
    return [int(number) for number in found.groups()] if found else []


def _best_of(page: Page, row: int, column: int) -> list[int]:
    """Return row and column of the best match of a place, from the numbers of the server."""
    pairs = page.driver.execute_async_script(
        """const [done] = [arguments[0]];
           const href = document.querySelector("#neighbours .tile a").getAttribute("href");
           const other = new URLSearchParams(href.slice(1)).get("row");
           fetch(`/api/explanation?row=0&other=${other}`).then((x) => x.json())
             .then((why) => done(why.pairs))"""
    )
    side = round(len(pairs) ** 0.5)  # places in a row
    best = int(np.argmax(pairs[(row - 1) * side + column - 1]))
    return [best // side + 1, best % side + 1]


def test_the_keyboard_is_enough(page: Page) -> None:
    page.open("/?row=0&k=2")
    wait_for_network(page)
    page.wait(lambda: len(page.all("#neighbours .tile")) == 2)
    reached = []
    for _ in range(14):
        page.press(Keys.TAB)
        reached.append(page.focused)
        if 'aria-label="Why is number 1' in reached[-1]:
            break
    for part in ('class="skip"', 'class="brand"', 'id="file"', 'id="k"', 'id="metric"', "row="):
        assert any(part in html for html in reached), part
    page.press(Keys.ENTER)
    page.wait(lambda: len(page.all("#why .map rect")) >= 98)
    for _ in range(6):
        page.press(Keys.TAB)
        if "Places of your photo" in page.focused:
            break
    page.press(Keys.ARROW_UP)
    row, column = page.wait(lambda: _match(page))[:2]
    page.press(Keys.ARROW_UP)
    page.wait(lambda: _match(page)[:2] == [row - 1, column])
    page.press(Keys.ESCAPE)
    page.wait(lambda: 'aria-label="Why is number 1' in page.focused)  # where the focus was before


def viewed(page: Page) -> list[str]:
    """Return number, breed and path of the image in the large view."""
    assert page.js("return document.getElementById('viewer').open")
    path = "document.querySelector('#viewer-facts dd:last-child').textContent"
    return [page.text("#viewer-number"), page.text("#viewer-title"), page.js(f"return {path}")]


def test_the_large_view_by_keyboard(page: Page) -> None:
    page.open("/?row=0&k=3")
    answer = page.fetch("/api/answer?row=0&k=3")["neighbours"]
    page.wait(lambda: len(page.all("#neighbours .tile")) == 3)
    texts = [tile.text for tile in page.all("#neighbours .tile .detail")]
    for text, each in zip(texts, answer, strict=True):
        assert abs(float(text.split()[2]) / 100 - each["closer_than"]) < 0.01
    assert "vote" not in page.text("#neighbours")
    page.all("#neighbours .tile a")[0].send_keys(Keys.ENTER)
    expected = [[f"Rank {i} of 3", x["breed"], x["path"]] for i, x in enumerate(answer, 1)]
    assert viewed(page) == expected[0]
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert viewed(page) == expected[1]
    page.press(Keys.END, Keys.ARROW_RIGHT)
    assert viewed(page) == expected[2]
    assert page.text("#viewer-message") == "This is the last image."
    for _ in range(12):  # the focus stays in the dialog, or goes to the browser
        page.press(Keys.TAB)
        assert page.js("return document.activeElement.closest('#viewer, body') !== null")
        assert not page.js("return document.querySelector('main').contains(document.activeElement)")
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.js("return document.getElementById('viewer').open"))
    row = answer[2]["row"]
    page.wait(lambda: f"row={row}" in page.focused)  # the tile of the last image


def test_an_original_is_opened_and_its_path_copied(page: Page, breeds_dir: Path) -> None:
    page.open("/?view=browse&label=0")
    page.all("#browse .tile a")[1].click()
    number, _, path = viewed(page)
    assert number == "2 of 3"
    href = page.all("#viewer-original")[0].get_attribute("href")
    content = page.driver.execute_async_script(
        "fetch(arguments[0]).then((x) => x.blob()).then((x) => arguments[1]([x.type, x.size]))",
        href,
    )
    assert content == ["image/png", (breeds_dir / path).stat().st_size]
    permission = {"name": "clipboard-write"}
    # Without the permission it is copied by a selection.
    for setting, key in (("granted", Keys.ARROW_RIGHT), ("denied", Keys.ARROW_LEFT)):
        page.driver.execute_cdp_cmd(
            "Browser.setPermission", {"permission": permission, "setting": setting}
        )
        page.all("#viewer-copy")[0].click()
        page.wait(lambda: page.text("#viewer-message") == "The path was copied.")
        page.press(key)
        assert page.text("#viewer-message") == ""
    page.driver.execute_cdp_cmd("Browser.resetPermissions", {})
    assert page.all("#viewer-why")[0].is_displayed() is False  # there is no query


def test_the_answer_box_says_what_its_confidence_means(page: Page) -> None:
    """In the words of docs/page.md, for every kind of answer."""
    page.open("/?row=0&k=3")
    page.wait(lambda: "computed" not in page.text("#answer"), 60)
    answer = page.fetch("/api/answer?row=0&k=3")
    some = {"words": "pug or beagle", "breeds": ["pug", "beagle"], "unknown": False, "row": None}
    promise = {"promise": "if it is one of these breeds, right 9 times in 10"}
    votes = {"breed": "pug", "votes": 2, "runner_up": "beagle", "runner_up_votes": 1}
    likely = {**answer, **some, **promise, **votes}
    none = {"unknown": True, "words": "none of the known breeds", "novelty_p": 0.031}
    tie = {"runner_up_votes": 2}
    voters = ("pug", "pug", "beagle", "whippet", "collie", "saluki", "basenji")
    seven = {"k": 7, "neighbours": [{"breed": breed, "label": 0} for breed in voters]}
    unlabelled = {"breed": "unknown", "votes": 0, "runner_up": "", "breeds": None, "promise": ""}
    for changed, texts in (
        (
            {},
            [
                "pug or beagle",
                "f it is one of these breeds, right 9 times in 10. The likeliest breed is first.",
                "2 of 3 votes",
            ],
        ),
        (
            none,
            ["None of the breeds of this dataset is likely", "Nearest: pug, with 2 of 3 votes."],
        ),
        (tie, ["The vote is a tie. Of the tied breeds, pug has the nearest image."]),
        (unlabelled, ["The nearest images have no breed", "Images without a breed do not vote."]),
        (
            {"breeds": ["beagle"], "words": "beagle"},
            ["right 9 times in 10.\n", "The answer is “beagle”, although pug wins the vote below:"],
        ),
        (
            {"breeds": ["pug", "chow"], **seven},
            ["The vote of the nearest images:", "pug\n2 of 7 votes", "chow\n0 of 7 votes"],
        ),
        (
            {"breeds": ["whippet", "pug"], **seven},
            ["whippet\n1 of 7 votes", "beagle\n1 of 7 votes", "3 votes for other breeds."],
        ),
        ({"flag_text": "tiny", "flags": ["tiny"]}, ["Expect a worse answer: tiny."]),
    ):
        shown = page.driver.execute_async_script(
            """const [answer, done] = arguments;
               import("/answer.js").then(({ answerElements }) => {
                 const box = document.getElementById("answer");
                 box.replaceChildren(...answerElements(answer));
                 done(box.innerText);
               })""",
            {**likely, **changed},
        )
        for text in texts:
            assert text in shown
        assert ("What does this mean?" in shown) == (changed != unlabelled)
    assert "confidence" not in page.js(
        "return document.querySelector('#answer .promise').className"
    )


def test_long_file_names_show_both_ends(page: Page) -> None:
    page.open("/?view=browse&label=0")
    shown = page.driver.execute_async_script(
        """const [name, done] = arguments;
           import("/dom.js").then(({ fileName }) => {
             const detail = document.querySelector("#browse .tile .detail");
             detail.replaceChildren(fileName(name));
             const [start, end] = detail.querySelectorAll(".file-name span");
             done([detail.textContent, end.textContent, start.scrollWidth > start.clientWidth,
               end.getBoundingClientRect().right <= detail.getBoundingClientRect().right + 1]);
           })""",
        name := f"IMG_{'0123456789' * 6}_beagle_1.jpeg",
    )
    assert shown == [name, "le_1.jpeg", True, True]


@pytest.mark.parametrize("path", ["/", "/?row=0&k=5", "/?view=browse", "/?view=judging"])
def test_phones_do_not_scroll_sideways_and_dark_mode_is_dark(page: Page, path: str) -> None:
    page.emulate("setDeviceMetricsOverride", **PHONE)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.emulate("setEmulatedMedia", features=features)
    try:
        page.driver.get(page.address + path)
        page.wait(lambda: page.all("main .tile, main table"), 60)
        assert page.js("return document.documentElement.scrollWidth") <= 360
        shot = Image.open(io.BytesIO(page.driver.get_screenshot_as_png())).convert("L")
        assert np.asarray(shot)[:4].mean() < 60
    finally:
        page.emulate("clearDeviceMetricsOverride")
        page.emulate("setEmulatedMedia", features=[])


def test_names_are_inserted_as_text(page: Page) -> None:
    for path in ("/", "/?row=3&k=5", "/?view=browse", "/?view=browse&label=1"):
        page.open(path)
        page.wait(lambda: HOSTILE in page.text("main"))
        assert page.js("return document.querySelectorAll('img[src=x]').length") == 0


def test_errors_are_shown_on_the_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    page.open()
    wait_for_network(page)
    page.all("#file")[0].send_keys(str(tmp_path / "text.png"))
    page.wait(lambda: "no known image format" in page.text("#error"))
    page.driver.get(page.address + "/?query=gone")
    page.wait(lambda: "has expired" in page.text("#error"))
    others = [each for each in page.errors() if "400" not in each and "404" not in each]
    assert others == []  # the browser logs the two refused requests only


def test_evaluation_and_audit_link_to_images(page: Page) -> None:
    page.driver.get(page.address + "/?view=judging")
    page.wait(lambda: len(page.all("#judging .figures svg[role=img]")) == 2, 60)
    cells = page.wait(lambda: page.all("#judging .matrix rect:not(.empty)"))
    width = float(cells[0].get_attribute("width"))
    page.all("#judging .matrix")[0].send_keys("+")
    zoomed = page.all("#judging .matrix rect:not(.empty)")[0].get_attribute("width")
    assert width < float(zoomed) <= 1.5 * width + 1e-6
    page.driver.get(page.address + "/?view=audit")
    page.wait(lambda: page.all("#audit .finding"), 60)
    page.press("j", "1")
    page.driver.refresh()
    page.wait(lambda: "· 1 of " in page.text("#audit"))  # findings are decided
    page.all("#audit .finding .image a")[0].click()
    assert viewed(page)[0].startswith("1 of ")
    assert "Size and date" in page.text("#viewer-facts")
    before = current(page)
    page.press(Keys.END, "j")  # the keys of the audit wait
    assert current(page) == before
    page.all("#viewer-search")[0].click()
    page.wait(lambda: "row=" in page.driver.current_url)
    page.wait(lambda: page.all("#neighbours .tile"))


def test_the_audit_shows_its_progress(page: Page) -> None:
    progress = {"what": "pairs", "fraction": 0.42, "seconds_left": 75}
    source = """const original = window.fetch;
        let answers = 0;
        window.fetch = (path, options) => path === "/api/audit" && answers++ === 0
          ? Promise.resolve(new Response(JSON.stringify(%s), { status: 202 }))
          : original(path, options);"""
    payload = json.dumps({"state": "working", "progress": progress})
    script = page.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": source % payload}
    )
    try:
        page.driver.get(page.address + "/?view=audit")
        page.wait(lambda: "pairs: 42\u00a0%, 2 minutes left" in page.text("#audit"))
        assert page.js("return document.querySelector('#audit progress').value") == 0.42
        page.wait(lambda: page.all("#audit .finding"), 60)
        assert page.all("#audit progress") == []
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.mark.skipif(not Path(AXE).is_file(), reason="DOGSIM_TEST_AXE names no axe.min.js")
@pytest.mark.parametrize(("screen", "scheme"), [("desktop", "light"), ("phone", "dark")])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?row=0&k=5",
        "/?query=gone",
        "/?view=browse",
        "/?view=browse&label=0",
        "/?view=judging",
        "/?view=audit",
        "viewer",
        "why",
    ],
)
def test_axe_finds_no_violation(page: Page, path: str, screen: str, scheme: str) -> None:
    page.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    if screen == "phone":
        page.emulate("setDeviceMetricsOverride", **PHONE)
    try:
        page.driver.get(page.address + ("/?row=0&k=5" if path in ("why", "viewer") else path))
        shown = "main:has(.tile), main:has(table), main:has(.finding), #error:not(:empty)"
        page.wait(lambda: page.all(shown), 60)
        if path == "/?query=gone":
            page.errors()  # the browser logs the refused requests
        if path == "viewer":
            page.all("#neighbours .tile a")[0].click()
        if path == "why":
            wait_for_network(page)
            page.all("#neighbours .tile button")[0].click()
            page.wait(lambda: len(page.all("#why .map rect")) >= 98, EXPLANATION_SECONDS)
        assert violations(page) == []
    finally:
        page.emulate("clearDeviceMetricsOverride")
        page.emulate("setEmulatedMedia", features=[])


def violations(page: Page) -> list[tuple[str, str, list[str]]]:
    """Return the rules of axe that the page violates, each with its impact and elements."""
    page.js(Path(AXE).read_text())
    found = page.driver.execute_async_script(
        "axe.run(document, { resultTypes: ['violations'] }).then(arguments[0])"
    )
    violated = [
        (each["id"], each["impact"], [node["html"][:120] for node in each["nodes"][:3]])
        for each in found["violations"]
    ]
    return [each for each in violated if each[1] in ("serious", "critical", "moderate")]


# ---- The saved report of an audit, which shares the findings with the page


def audit_with(**fields: Any) -> Audit:
    nothing = Audit((), (), (), (), (), (), None, (), (), (), (), {}, 0, ())
    return replace(nothing, **fields)


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved report with copies, suspicious labels of hostile names, and 3,000 poor images."""
    folder = tmp_path_factory.mktemp("report")
    names = [f"{HOSTILE}.png", '=1+1, "x".png', "caf\udce9.png", "a\u202eb.png", "c.png", "d.png"]
    for i, name in enumerate(names):
        Image.new("RGB", (60 + i, 40), (40 * i, 90, 200 - 30 * i)).save(folder / name, "PNG")
    paths = (*names, *(f"gone/{number}.jpg" for number in range(3000)))
    labels = np.array([0, 0, 0, 1, 1, 1, *[1] * 3000], np.int32)
    dataset = Dataset(
        np.zeros((len(paths), 2), np.float32),
        labels,
        paths,
        ("red setter", HOSTILE),
        root=str(folder),
    )
    found = audit_with(
        duplicates=(tuple(names[:3]), ("d.png", "c.png")),
        kinds=("copy", "same file"),
        changes=(("mirrored", "", "cropped"), ("", "")),
        keep=(names[1], "c.png"),
        labels=(
            SuspiciousLabel("c.png", HOSTILE, "red setter", -0.5, 0.7, names[0]),
            SuspiciousLabel("d.png", HOSTILE, "red setter", -0.4, 0.6, names[0]),
        ),
        poor=tuple(PoorImage(path, "cannot be read") for path in paths[6:]),
        images={path: ImageFacts(60, 40, 1234, "2019-05-06T07:08:09") for path in names},
        missing=3000,
        left_out=("The labels of 2 images were left out.",),
    )
    save_audit(found, dataset, folder / "out")
    return folder / "out"


@pytest.fixture
def report(browser: Page, report_folder: Path) -> Iterator[Page]:
    """Open the report without earlier decisions; then check that it loaded nothing else."""
    address = (report_folder / "audit.html").as_uri()
    browser.errors()
    browser.requests()
    browser.driver.get(address)
    browser.js("localStorage.clear()")
    browser.driver.get("about:blank")
    browser.driver.get(address)
    downloads = {"behavior": "allow", "downloadPath": str(report_folder / "downloads")}
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
    yield browser
    own = (address, "data:image/jpeg;", "about:", "blob:")
    assert [url for url in browser.requests() if not url.startswith(own)] == []
    assert browser.errors() == []


def downloaded(page: Page, folder: Path) -> bytes:
    """Press the button that downloads the plan, and return the file."""
    file = folder / "downloads" / "plan.csv"
    file.unlink(missing_ok=True)
    page.all(".plan-bar .primary")[0].click()
    page.wait(lambda: file.exists() and file.stat().st_size)
    return file.read_bytes()


def rows_of(plan: bytes) -> dict[tuple[str, str], tuple[str, str]]:
    """Map path and kind of the rows of a plan to decision and label."""
    rows = csv.DictReader(io.StringIO(plan.decode(), newline=""))
    return {
        (exact_text(row["path"]), row["kind"]): (row["decision"], exact_text(row["label"]))
        for row in rows
    }


def current(page: Page) -> str:
    return str(page.js("return location.hash.slice(1)"))


def test_the_report_shows_some_findings_and_more_on_demand(report: Page) -> None:
    assert "The labels of 2 images were left out." in report.text(".notes")
    assert HOSTILE in report.text("#duplicates")
    assert report.js("return document.querySelectorAll('img[src=x]').length") == 0
    assert len(report.all("#duplicates .finding img")) == 5
    best = report.text("#duplicates .image.best")
    assert all(each in best for each in ("60 × 40", "1 kB", "2019-05-06", "keep: first by name"))
    assert report.all("#poor .finding") == []  # folded
    report.all("#poor summary")[0].click()
    report.wait(lambda: len(report.all("#poor .finding")) == 20)
    assert report.text("#poor .more") == "Show 20 more of 2,980"
    report.all("#poor .more")[0].click()
    report.wait(lambda: len(report.all("#poor .finding")) == 40)
    assert current(report) == "poor-21"


def test_the_plan_of_the_report_is_that_of_the_command(report: Page, report_folder: Path) -> None:
    unchanged = downloaded(report, report_folder)
    assert unchanged == (report_folder / "plan.csv").read_bytes()
    report.press("j", "a")  # accept what is proposed anyway
    assert downloaded(report, report_folder) == unchanged
    report.press("b")
    before, after = rows_of(unchanged), rows_of(downloaded(report, report_folder))
    changed = {path for path, kind in before if before[path, kind] != after[path, kind]}
    assert changed == {f"{HOSTILE}.png", "caf\udce9.png"}
    assert {decision for decision, _ in after.values()} == {"keep", "remove"}


def test_decisions_by_keyboard_survive_a_reload_and_can_be_undone(
    report: Page, report_folder: Path
) -> None:
    assert ", the others as plan.csv proposes" in report.text(".counts")
    assert "dogsim apply plan.csv DATASET -o clean.h5" in report.text(".message")
    report.press("j", "j", Keys.ARROW_RIGHT)
    assert current(report) == "labels-1"
    report.press("a", "j", "r")
    assert "1 new label" in report.text(".counts")
    assert "2 images to remove" in report.text(".counts")  # d.png is kept in both findings
    report.press("r", "k", "k", "1")
    assert "No image of this group is kept." in report.text("#duplicates")
    report.driver.refresh()
    assert current(report) == "duplicates-2"
    assert "No image of this group is kept." in report.text("#duplicates")
    rows = rows_of(downloaded(report, report_folder))
    assert rows["c.png", "same file"] == rows["c.png", "suspicious label"]
    assert rows["c.png", "same file"] == ("remove", "red setter")
    assert rows["d.png", "same file"] == ("remove", HOSTILE)
    for finding in ("duplicates-2", "labels-2", "labels-2"):
        webdriver.ActionChains(report.driver).key_down(Keys.CONTROL).send_keys("z").key_up(
            Keys.CONTROL
        ).perform()
        assert current(report) == finding
    report.all(".plan-buttons button")[0].click()
    assert current(report) == "labels-1"
    assert not report.all(".plan-buttons button")[0].is_enabled()
    assert downloaded(report, report_folder) == (report_folder / "plan.csv").read_bytes()


LABELS = ("=1+1", "'+x", 'a, "b"', "back\\slash", "a\u202eb\u00ad", "犬\U0001f436\u200d", "@")


def test_a_label_of_any_text_is_written_exactly(report: Page, report_folder: Path) -> None:
    report.press("j", "j", "j")
    written = []
    for label in LABELS:
        report.press("e")
        report.js(
            """const input = document.activeElement; input.value = arguments[0];
               input.dispatchEvent(new Event("change"))""",
            label,
        )
        written.append(downloaded(report, report_folder))
        report.press(Keys.ESCAPE)
    labels = [rows_of(plan)["c.png", "suspicious label"][1] for plan in written]
    assert labels == list(LABELS)
    cells = [exact_cell(label) for label in LABELS]
    rows = [list(csv.reader(io.StringIO(plan.decode(), newline=""))) for plan in written]
    assert [cell in {row[4] for row in each} for each, cell in zip(rows, cells, strict=True)] == [
        True
    ] * len(LABELS)
    report.press("e", "red setter", Keys.ENTER)
    assert 'aria-current="true"' in report.focused
    report.all(".keys input")[0].click()  # turn the keys off
    before = current(report)
    report.press("j", "j")
    assert current(report) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_on_a_phone(report: Page, scheme: str) -> None:
    report.emulate("setDeviceMetricsOverride", **PHONE)
    report.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        report.js("for (const each of document.querySelectorAll('details')) each.open = true")
        report.wait(lambda: len(report.all(".finding")) == 24)
        assert report.js("return document.documentElement.scrollWidth") <= 360
        shot = Image.open(io.BytesIO(report.driver.get_screenshot_as_png())).convert("L")
        assert (np.asarray(shot)[:4].mean() < 60) == (scheme == "dark")
        if Path(AXE).is_file():
            assert violations(report) == []
    finally:
        report.emulate("clearDeviceMetricsOverride")
        report.emulate("setEmulatedMedia", features=[])
