"""Capture a screenshot and an animation of the page of `dogsim serve`: the sample and a beagle.

The animation drops the photo, and shows the results, a large view and an explanation. Needs
Chromium and its driver (Debian: chromium, chromium-driver) and ``pip install ".[web-test]"``, but
no network.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from dogsim import sample_queries

DATA = Path(__file__).resolve().parent.parent / "data"
SCREENSHOT, ANIMATION = DATA / "page.png", DATA / "page.webp"
CHROMIUM_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
WINDOW = {"width": 1200, "height": 720, "deviceScaleFactor": 1, "mobile": False}
ANIMATION_SIZE, ANIMATION_QUALITY = (1000, 600), 80
MAX_WAIT_SECONDS = 180  # for the network and its first explanation
POINTED = (-115, -70)  # pixels from the centre of the query in its explanation
EXAMPLE_NEIGHBOUR = 1  # index of the neighbour that is explained
DRAGGED_SIZE = (180, 180)
DRAG_STEPS = (((960, 500), 250), ((800, 380), 120), ((680, 270), 120), ((590, 180), 800))


class Page:
    """The page in a browser without a window."""

    def __init__(self, address: str) -> None:
        options = webdriver.ChromeOptions()
        for flag in CHROMIUM_FLAGS:
            options.add_argument(flag)
        self.browser = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", WINDOW)
        self.browser.get(address)
        self.wait(lambda: self.all("#neighbours .tile") and not self.all("#network")[0].text)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def wait(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.browser, MAX_WAIT_SECONDS).until(lambda _: condition())

    def wait_for_images(self) -> None:
        script = "return [...document.images].every((image) => image.complete)"
        self.wait(lambda: self.browser.execute_script(script))

    def move_to(self, element: Any, x: int = 0, y: int = 0) -> None:
        actions = webdriver.ActionChains(self.browser)
        actions.move_to_element_with_offset(element, x, y).perform()

    def shot(self) -> Image.Image:
        self.wait_for_images()
        return Image.open(BytesIO(self.browser.get_screenshot_as_png())).convert("RGB")


def frames(page: Page) -> Iterator[tuple[str, Image.Image, int]]:
    """Use the page; yield the name of each step, its image and the milliseconds it is shown."""
    beagle = next(path for path in sample_queries() if path.stem == "beagle")
    yield "start", page.shot(), 1000
    page.browser.execute_script("dispatchEvent(new DragEvent('dragover'))")
    for place, milliseconds in DRAG_STEPS:
        yield "drag", with_photo(page.shot(), beagle, place), milliseconds
    page.browser.execute_script("dispatchEvent(new DragEvent('dragleave'))")
    page.all("#file")[0].send_keys(str(beagle))
    page.wait(lambda: page.all("#answer .confidence"))
    page.move_to(page.all("header")[0])
    yield "results", page.shot(), 2200
    tile = page.all("#neighbours .tile")[EXAMPLE_NEIGHBOUR]
    page.move_to(tile)
    page.wait(lambda: page.all("#query-image .map"))
    yield "hover", page.shot(), 2200
    tile.find_element(By.TAG_NAME, "a").click()
    yield "large view", page.shot(), 2000
    page.all("#viewer-why")[0].click()
    page.wait(lambda: page.all("#why .map rect"))
    yield "why", page.shot(), 1500
    page.wait(lambda: best_match(page))
    yield "best match", page.shot(), 2500


def best_match(page: Page) -> bool:
    """Point to a place of the query; return whether its best match is shown."""
    page.move_to(page.all("#why-query .map")[0], *POINTED)
    return str(page.all("#match")[0].text).startswith("Row ")


def with_photo(image: Image.Image, photo: Path, place: tuple[int, int]) -> Image.Image:
    """Draw a photo over an image, as if it was dragged; the security policy of the page forbids it.

    `place` is its corner above on the left.
    """
    with Image.open(photo) as opened:
        small = opened.convert("RGBA")
    small.thumbnail(DRAGGED_SIZE)
    small = small.rotate(4, Image.Resampling.BICUBIC, expand=True)
    image.paste(small, place, small)
    return image


def main() -> None:
    """Serve the sample, and write the screenshot and the animation of its page."""
    code = "from dogsim.cli import app; app()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            page = Page(json.loads(line)["address"])
            shots = list(frames(page))
            page.browser.quit()
        finally:
            server.terminate()
    image = next(image for name, image, _ in shots if name == "hover")
    image.quantize(256).save(SCREENSHOT, optimize=True)
    first, *others = (image.resize(ANIMATION_SIZE) for _, image, _ in shots)
    durations = [milliseconds for _, _, milliseconds in shots]
    first.save(
        ANIMATION, save_all=True, append_images=others, duration=durations, loop=0,
        quality=ANIMATION_QUALITY, method=6,
    )  # fmt: skip
    for file in (SCREENSHOT, ANIMATION):
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
