"""Write docs/report.png, the picture of a report in the README: ``python docs/picture.py FOLDER``.

FOLDER holds ``node_modules`` with a browser, which nothing else needs:
``npm install --prefix FOLDER puppeteer-core @sparticuz/chromium``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "report.png"
COLOURS = 64
_SIZE = "1000", "500"
_TAKE = """
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
const [folder, page, out, width, height] = process.argv.slice(-5);
const from = createRequire(pathToFileURL(folder + "/node_modules/"));
const load = async (name) => (await import(pathToFileURL(from.resolve(name)))).default;
const [chromium, puppeteer] = [await load("@sparticuz/chromium"), await load("puppeteer-core")];
const browser = await puppeteer.launch({
  args: [...chromium.args, "--no-sandbox"],
  executablePath: await chromium.executablePath(),
  headless: "shell",
});
const tab = await browser.newPage();
await tab.setViewport({ width: +width, height: +height });
await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
await tab.goto(pathToFileURL(page).href);
await tab.evaluate(() => {
  const headings = [...document.querySelectorAll("h3")];
  headings.find((e) => e.textContent.includes("poisoned")).scrollIntoView();
});
await tab.screenshot({ path: out });
await browser.close();
"""


def main(folder: str) -> int:
    """Scan the demo, open its page, and keep a piece of it in few colours."""
    with tempfile.TemporaryDirectory() as work:
        page, shot = Path(work, "report.html"), Path(work, "shot.png")
        scan = [sys.executable, "-m", "poisonscan", "scan", "--no-settings", "fixtures/demo"]
        subprocess.run([*scan, "--fail-on", "none", "-o", f"html={page}"], cwd=ROOT, check=True)
        script = Path(work, "take.mjs")
        script.write_text(_TAKE, "utf-8")
        places = [Path(folder).resolve(), page, shot]
        subprocess.run(["node", script, *places, *_SIZE], check=True)
        Image.open(shot).convert("RGB").quantize(COLOURS).save(PICTURE, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
