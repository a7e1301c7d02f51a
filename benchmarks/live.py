"""How long does a step of the live page take, beyond the model's own time?

    python benchmarks/live.py [STEPS]

prints medians in ms for the demo model at 256 x 256 and six transforms at once (a spike's intensity, row and column,
rotation, zoom, brightness): what each part takes in Python; and in headless Chromium, where Playwright and Chromium are
there, from the key that moves a slider to the new picture. The model alone is timed between the steps, so that a busy
machine slows both alike.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict

import numpy as np

import misas as ms
from misas.plot.live import Live, live_pictures
from misas.report.livepage import picture_uri, scores_html

WATCH = """
() => {
  const picture = document.querySelector("#picture-prediction"), before = picture.src;
  window.moved = new Promise(done => {
    new MutationObserver((_, watch) => {
      if (picture.src == before) return;
      watch.disconnect();
      picture.decode().then(() => requestAnimationFrame(() => done(performance.now() - window.pressed)));
    }).observe(picture, {attributes: true});
  });
  document.activeElement.addEventListener("keydown", () => window.pressed = performance.now(), {once: true});
}
"""


def main(steps: int) -> None:
    model, case = ms.load_model("demo"), ms.phantom((256, 256), seed=0)
    positions = [ms.SpikePosition(axis=-2), ms.SpikePosition(axis=-1)]
    live = Live(model, case, [ms.Spike(), *positions, ms.Rotate(), ms.Zoom(), ms.Brightness()])
    took = defaultdict(list)

    def timed(name, function, *args):
        start = time.perf_counter()
        result = function(*args)
        took[name].append(1000 * (time.perf_counter() - start))
        return result

    def model_alone():
        with model.session():
            timed("model alone", model, case.image[None], case)

    for k in range(steps):
        model_alone()
        step = timed("transforms and model", live.step, (1.0, 0.45, 0.55, k + 1, 1.1, 1.2))
        timed("scores", lambda step=step: scores_html(live.changes(step)))
        pictures = timed("pictures", live_pictures, live, step)
        timed("encoded", lambda pictures=pictures: [picture_uri(picture) for picture in pictures.values()])
    medians = {name: np.median(times) for name, times in took.items()}
    own = sum(medians.values()) - 2 * medians["model alone"]
    print({name: round(float(ms_), 1) for name, ms_ in medians.items()}, f"beyond the model: {own:.1f}")
    in_browser(steps, took, model_alone)


def in_browser(steps: int, took: dict, model_alone) -> None:
    "The same from key to picture"
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        return print("no browser")
    command = [sys.executable, "-m", "misas", "explore", "--no-open"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        address = re.search(r"http://\S+", server.stdout.readline())[0]
        time.sleep(3)
        with sync_playwright() as p:
            page = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
            page.goto(address)
            page.wait_for_function("document.querySelector('#picture-errors')?.src.startsWith('data:')")
            page.focus("#knob-3")
            took["model alone"].clear()
            for _ in range(steps):
                model_alone()
                page.evaluate(WATCH)
                page.keyboard.press("ArrowRight")
                took["key to picture"].append(page.evaluate("window.moved"))
                page.wait_for_timeout(100)
    finally:
        server.kill()
    key, alone = np.median(took["key to picture"]), np.median(took["model alone"])
    print(f"in Chromium: key to picture {key:.0f}, model alone {alone:.0f}, beyond the model {key - alone:.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
