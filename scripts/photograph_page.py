"""Photograph the page of `dogsim serve` for the README: the sample, asked about a beagle.

It takes Chromium and its driver (Debian: chromium, chromium-driver) and ``pip install
".[web-test]"``; without network, since the page asks nobody else.
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
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
SIZE = {"width": 1200, "height": 720, "deviceScaleFactor": 1, "mobile": False}
PREPARED = 180  # seconds, in which the network is made ready to explain


def photograph(address: str) -> bytes:
    """Bring the beagle to the page, rest on its second neighbour, and take the picture."""
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    with webdriver.Chrome(options, Service(shutil.which("chromedriver"))) as browser:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
        wait = WebDriverWait(browser, PREPARED)
        browser.get(address)
        wait.until(lambda page: not page.find_element(By.ID, "network").text)
        beagle = next(path for path in sample_queries() if path.stem == "beagle")
        browser.find_element(By.ID, "file").send_keys(str(beagle))
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, "#says .promise"))
        second = browser.find_elements(By.CSS_SELECTOR, "#neighbours .tile")[1]
        webdriver.ActionChains(browser).move_to_element(second).perform()
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, "#shown .map"))
        return bytes(browser.get_screenshot_as_png())


def main() -> None:
    """Serve the sample, and photograph its page."""
    code = "from dogsim.cli import app; app()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            line = serving.stdout.readline() if serving.stdout else ""
            image = Image.open(BytesIO(photograph(json.loads(line)["address"])))
        finally:
            serving.terminate()
    image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(OUT, optimize=True)
    print(OUT)


if __name__ == "__main__":
    main()
