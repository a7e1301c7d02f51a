"""Draw the report at the top of the README: docs/images/report.png

python docs/report_picture.py                     of a study of the demo model on twelve phantoms
python docs/report_picture.py misas-study/report.html   of a report that is there

Needs playwright and Chromium.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH = 820  # of each column, in pixels of the page
WORDS, CHART = 533, 385  # heights of what is shown of the first section
SCALE = 0.56
COLOURS = 36
TRANSFORMS = ["rotation", "brightness", "zoom", "spike"]


def made_report(folder: Path) -> Path:
    "A report of the demo model"
    import misas as ms

    cases = [ms.phantom((192, 192), seed=seed) for seed in range(12)]
    labels = {1: "LV", 2: "MY", 3: "RV"}
    ms.study(ms.as_model(ms.demo_model(), name="demo"), cases, TRANSFORMS, labels=labels, out=folder)
    return folder / "report.html"


def columns_of(report: Path) -> list[Image.Image]:
    "What the model tolerates, in words and as a chart, and the worst cases"
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=dict(width=WIDTH, height=900))
        page.goto(report.resolve().as_uri())
        page.wait_for_timeout(1500)

        def shot(top: float, height: int) -> Image.Image:
            png = page.screenshot(full_page=True, clip=dict(x=0, y=top, width=WIDTH, height=height))
            return Image.open(io.BytesIO(png)).convert("RGB")

        chart = page.locator("svg, canvas").first.bounding_box()["y"] - 10
        cases = page.locator("h2").nth(1).bounding_box()["y"] - 20
        left = Image.new("RGB", (WIDTH, WORDS + CHART))
        left.paste(shot(0, WORDS), (0, 0))
        left.paste(shot(chart, CHART), (0, WORDS))
        right = shot(cases, WORDS + CHART)
        browser.close()
    return [left, right]


def main(report: Path | None = None):
    with tempfile.TemporaryDirectory() as folder:
        columns = columns_of(report or made_report(Path(folder)))
    size = round(WIDTH * SCALE), round((WORDS + CHART) * SCALE)
    sheet = Image.new("RGB", (2 * size[0] + 12, size[1]), "#c8ccd4")
    for k, column in enumerate(columns):
        sheet.paste(column.resize(size, Image.Resampling.LANCZOS), (k * (size[0] + 12), 0))
    path = Path(__file__).parent / "images" / "report.png"
    # a palette makes the file a third of its size
    sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
