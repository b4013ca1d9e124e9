"""Makes live-page.png: the live page of a run on scene.jpg, as Chromium draws it.

    cargo build --release -p comet-edge
    pip install playwright pillow
    python docs/images/live_page.py --program target/release/comet-edge --browser "$(command -v chromium)"

The scene is a frame of a real video, with a photographed hand laid into it; see README.md in this folder.
"""

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parent
VIEW = {"width": 1180, "height": 720}
COLOURS = 128


def main():
    parser = argparse.ArgumentParser(description="Make live-page.png.")
    parser.add_argument("--program", required=True, help="comet-edge")
    parser.add_argument("--browser", required=True, help="Chromium")
    args = parser.parse_args()
    command = [Path(args.program).resolve(), "run", "--source", "scene.jpg", "--loop", "--max-fps", "10",
               "--check-every", "1", "--top-k", "3", "--http", "127.0.0.1:0"]
    with tempfile.TemporaryFile() as log:
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=FOLDER)
        try:
            deadline = time.monotonic() + 30
            while not (found := re.search(rb"page: (http://[^\s]+)", read(log))):
                if run.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the run shows no page: {read(log).decode(errors='replace')}")
                time.sleep(0.1)
            draw(found[1].decode(), args.browser)
        finally:
            run.terminate()
            run.wait(timeout=15)


def read(log):
    log.seek(0)
    return log.read()


def draw(address, browser):
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport=VIEW, color_scheme="dark")
        page.goto(address)
        # Long enough for the curves to have something to show.
        page.wait_for_timeout(8000)
        file = FOLDER / "live-page.png"
        page.screenshot(path=file)
        chromium.close()
    # A palette keeps the file small; a page has few colours.
    Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
