"""Take a screenshot of the page of `dogsim serve` for the README: the sample and a beagle.

Needs Chromium and its driver (Debian: chromium, chromium-driver) and ``pip install ".[web-test]"``,
but no network.
"""

import json
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from dogsim import sample_queries

OUT = Path(__file__).resolve().parent.parent / "data" / "page.png"
CHROMIUM_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
WINDOW = {"width": 1200, "height": 720, "deviceScaleFactor": 1, "mobile": False}
MAX_WAIT_SECONDS = 180  # for the network and its first explanation


def screenshot(address: str) -> bytes:
    """Upload the beagle, hover over its second neighbour and return a screenshot as PNG."""
    options = webdriver.ChromeOptions()
    for flag in CHROMIUM_FLAGS:
        options.add_argument(flag)
    with webdriver.Chrome(options, Service(shutil.which("chromedriver"))) as browser:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", WINDOW)
        wait = WebDriverWait(browser, MAX_WAIT_SECONDS)
        browser.get(address)
        wait.until(lambda page: not page.find_element(By.ID, "network").text)
        beagle = next(path for path in sample_queries() if path.stem == "beagle")
        browser.find_element(By.ID, "file").send_keys(str(beagle))
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, "#answer .confidence"))
        second = browser.find_elements(By.CSS_SELECTOR, "#neighbours .tile")[1]
        webdriver.ActionChains(browser).move_to_element(second).perform()
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, "#query-image .map"))
        return bytes(browser.get_screenshot_as_png())


def main() -> None:
    """Serve the sample and write the screenshot of its page."""
    code = "from dogsim.cli import app; app()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            image = Image.open(BytesIO(screenshot(json.loads(line)["address"])))
        finally:
            server.terminate()
    image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(OUT, optimize=True)
    print(OUT)


if __name__ == "__main__":
    main()
