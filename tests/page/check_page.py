"""Uses the live page of a run as a person does, in Chromium.

Each check prints a line; the program ends with 1 at the first that fails. Screenshots go to the folder of --out.
"""

import argparse
import http.client
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

LIMIT_S = 30
CONTROLS = ["theme", "opacity", "colours", "threshold", "contour", "dim", "pause", "snapshot", "evidence"]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def check(holds, what):
    print(f"{'ok    ' if holds else 'FAILED'} {what}", flush=True)
    if not holds:
        sys.exit(1)


def wait_for(what, condition):
    """The first value of `condition()` that is true, or a failed check."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    check(False, what)


@contextmanager
def serve(arguments, *more):
    """The address of a page whose run ends with the block."""
    command = [arguments.program, "run", "--model", arguments.model, "--live", "--http", "127.0.0.1:0", *more]
    with tempfile.TemporaryFile() as log:
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        try:

            def address():
                log.seek(0)
                text = log.read().decode(errors="replace")
                if run.poll() is not None:
                    check(False, f"the run goes on; it said:\n{text}")
                return re.search(r"page: (http://[^/\s]+/)", text)

            yield wait_for("the run says where its page is", address)[1]
            run.terminate()
            check(run.wait(timeout=5) == 0, "the run ends in order")
        finally:
            run.kill()
            run.wait()


class Watch:
    """Everything that a page should not do."""

    def __init__(self, page, address):
        self.wrong = []
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))

        def ask(request):
            own = request.url.startswith((address, "blob:", "data:"))
            if not own:
                self.wrong.append(f"asked {request.url}")

        page.on("request", ask)

    def check(self, where):
        check(not self.wrong, f"{where}: no errors and no other hosts {self.wrong or ''}")


def pixels(page):
    """Some pixels of the canvas, as one text."""
    return page.evaluate(
        """() => {
            const canvas = document.getElementById("image");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return Array.from({ length: 500 }, (_, n) => data[Math.floor((n * data.length) / 2000) * 4]).join();
        }"""
    )


def use(browser, arguments, address):
    context = browser.new_context(viewport=DESKTOP, color_scheme="light", accept_downloads=True)
    page = context.new_page()
    watch = Watch(page, address)
    page.goto(address)
    page.wait_for_selector("#light.good", timeout=1000 * LIMIT_S)
    first = wait_for("an image", lambda: len(set((text := pixels(page)).split(","))) > 8 and text)
    check(True, "the canvas shows an image")
    wait_for("the image changes", lambda: pixels(page) != first)
    check(True, "it changes")
    wait_for("a label", lambda: "Camera image: " in page.get_attribute("#image", "aria-label"))
    check(page.inner_text("#class") not in ("", "–"), f"there is a class: {page.inner_text('#class')}")
    check(page.locator("#ranking li").count() > 1, "there are the likeliest classes")
    wait_for("numbers", lambda: page.locator("#pace dt").count() >= 6)
    check(page.locator("#card-rows dt").count() > 8, "the model card is filled")
    page.screenshot(path=arguments.out / "desktop-light.png", full_page=True)

    page.focus("#pause")
    page.keyboard.press("Enter")
    check(page.get_attribute("#pause", "aria-pressed") == "true", "the image can be stopped by keyboard")
    # One that was on its way still comes.
    time.sleep(1)
    still = pixels(page)
    time.sleep(0.5)
    check(pixels(page) == still, "it stands still")
    # A low line: the drawn scene may have no place where the map is above one half.
    page.focus("#threshold")
    for key in ["Home", "ArrowRight", "ArrowRight"]:
        page.keyboard.press(key)
    for control, keys in [("opacity", ["ArrowRight"] * 4), ("colours", ["ArrowDown"]), ("contour", ["Space"]), ("dim", ["Space"])]:
        before = pixels(page) if control not in ("contour", "dim") else whole(page)
        page.focus(f"#{control}")
        for key in keys:
            page.keyboard.press(key)
        after = pixels(page) if control not in ("contour", "dim") else whole(page)
        check(before != after, f"{control} changes the image by keyboard")
    page.focus("#contour")
    page.keyboard.press("Space")
    before = whole(page)
    page.focus("#threshold")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    check(whole(page) != before, "threshold moves the contour")

    with page.expect_download() as caught:
        page.click("#snapshot")
    jpeg = Path(caught.value.path()).read_bytes()
    check(jpeg[:2] == b"\xff\xd8" and len(jpeg) > 1000, f"a snapshot is a JPEG of {len(jpeg)} bytes")
    check(caught.value.suggested_filename.endswith(".jpg"), f"its name is {caught.value.suggested_filename}")
    page.focus("#pause")
    page.keyboard.press("Enter")

    page.click("#evidence")
    wait_for("a message about evidence", lambda: "kept" in page.inner_text("#message"))
    bundles = arguments.out / "evidence"
    wait_for("a bundle", lambda: any(bundles.iterdir()))
    check(True, "evidence is kept when asked for")

    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    check(all(control in reached for control in CONTROLS), "Tab reaches every control")
    order = [control for control in dict.fromkeys(reached) if control in CONTROLS]
    check(order == CONTROLS, f"in their order {order}")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select')].filter((node) => node.labels.length === 0).length"
    )
    check(unnamed == 0, "every control has a label")
    watch.check("desktop")
    context.close()


def whole(page):
    return page.evaluate("document.getElementById('image').toDataURL()")


def look(browser, arguments, address):
    """The same page dark, and on a phone."""
    for name, size, scheme in [("desktop-dark", DESKTOP, "dark"), ("phone-light", PHONE, "light"), ("phone-dark", PHONE, "dark")]:
        context = browser.new_context(viewport=size, color_scheme=scheme)
        page = context.new_page()
        watch = Watch(page, address)
        page.goto(address)
        page.wait_for_selector("#light.good", timeout=1000 * LIMIT_S)
        wait_for("numbers", lambda: page.locator("#pace dt").count() >= 6 and page.inner_text("#class") != "–")
        time.sleep(3)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        check(wide <= 0, f"{name}: nothing is wider than the window")
        page.screenshot(path=arguments.out / f"{name}.png", full_page=True)
        watch.check(name)
        context.close()
    context = browser.new_context(viewport=DESKTOP, color_scheme="dark")
    page = context.new_page()
    page.goto(address)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.select_option("#theme", "light")
    check(page.evaluate("getComputedStyle(document.body).backgroundColor") != dark, "the theme can be chosen")
    context.close()


def with_token(browser, address, token):
    context = browser.new_context()
    page = context.new_page()
    response = page.goto(address)
    check(response.status == 401, "without the token there is no page")
    page.fill("input[name=token]", "not-the-right-token")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=not right")
    check(True, "a wrong token is refused")
    page.fill("input[name=token]", token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#light.good", timeout=1000 * LIMIT_S)
    check(page.url == address, f"the right one opens {page.url}")
    page.reload()
    page.wait_for_selector("#light.good", timeout=1000 * LIMIT_S)
    check(True, "and is remembered")
    context.close()


class Proxy(BaseHTTPRequestHandler):
    """Serves a page below /cam1, as a web server in front of several boards does."""

    PREFIX = "/cam1"
    backend = ""
    reports_prefix = False

    def relay(self):
        rest = self.path.removeprefix(self.PREFIX)
        if rest == self.path or (rest and rest[0] not in "/?"):
            self.send_error(404)
            return
        dropped = {"connection", "content-length", "host", "transfer-encoding"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        headers["Host"] = "localhost"
        if self.reports_prefix:
            headers["X-Forwarded-Prefix"] = self.PREFIX
        connection = http.client.HTTPConnection(self.backend, timeout=LIMIT_S)
        try:
            connection.request(self.command, rest if rest.startswith("/") else f"/{rest}", headers=headers)
            response = connection.getresponse()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in dropped:
                    self.send_header(name, value)
            self.end_headers()
            while chunk := response.read1(65536):
                self.wfile.write(chunk)
                self.wfile.flush()
        except OSError:
            # The browser has left, or the run has ended.
            self.close_connection = True
        finally:
            connection.close()

    do_GET = do_POST = do_HEAD = relay

    def log_message(self, *_):
        pass


@contextmanager
def proxy(address, reports_prefix):
    """The address of a proxy in front of the page, without a slash at its end."""
    handler = type("Handler", (Proxy,), {"backend": urlsplit(address).netloc, "reports_prefix": reports_prefix})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="proxy", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{Proxy.PREFIX}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=LIMIT_S)


def behind_a_proxy(browser, address, token):
    """The page below a path, with and without a slash at its end, up to the login and back."""
    for reports_prefix, ends in [(False, ["/"]), (True, ["/", ""])]:
        with proxy(address, reports_prefix) as outside:
            for end in ends:
                context = browser.new_context()
                page = context.new_page()
                page.goto(outside + end)
                page.fill("input[name=token]", token)
                page.keyboard.press("Enter")
                page.wait_for_selector("#light.good", timeout=1000 * LIMIT_S)
                check(page.url == f"{outside}/", f"behind a proxy the token opens {page.url}")
                watch = Watch(page, outside)
                page.goto(outside + end)
                page.wait_for_selector("#light.good", timeout=1000 * LIMIT_S)
                wait_for("an image", lambda: len(set(pixels(page).split(","))) > 8)
                wait_for("the model card", lambda: page.locator("#card-rows dt").count() > 8)
                cookie = context.cookies()[0]
                check(cookie["path"] == Proxy.PREFIX, f"the cookie belongs to {cookie['path']}")
                for link in page.locator("footer a").all():
                    own = link.evaluate("node => node.href").startswith(f"{outside}/")
                    check(own, f"the link '{link.inner_text()}' stays below the path")
                watch.check(f"behind a proxy at {page.url}")
                context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="comet-edge")
    parser.add_argument("--model", required=True, help="model file")
    parser.add_argument("--browser", required=True, help="Chromium")
    parser.add_argument("--out", required=True, type=Path, help="folder for screenshots")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(arguments.out / "evidence", ignore_errors=True)
    (arguments.out / "evidence").mkdir()
    # Chromium's sandbox does not work for root.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=flags)
        scene = ["--source", "synthetic:320x240,15,1"]
        with serve(arguments, *scene, "--evidence", str(arguments.out / "evidence")) as address:
            use(browser, arguments, address)
            look(browser, arguments, address)
        with serve(arguments, "--source", "synthetic:320x240,1,1") as address:
            context = browser.new_context()
            page = context.new_page()
            page.goto(address)
            first = wait_for("an image", lambda: len(set((text := pixels(page)).split(","))) > 8 and text)
            wait_for("another image", lambda: pixels(page) != first)
            check(True, "one frame a second is shown, too")
            context.close()
        with tempfile.NamedTemporaryFile("w") as file:
            token = secrets.token_hex(16)
            file.write(token)
            file.flush()
            with serve(arguments, *scene, "--token-file", file.name) as address:
                with_token(browser, address, token)
                behind_a_proxy(browser, address, token)
        browser.close()
    print("the page passed")


if __name__ == "__main__":
    main()
