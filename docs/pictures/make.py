"""Make the pictures again: first screens of `report.html` of a passing and of a leaking smoke, and its `trace.html`.

    python docs/pictures/make.py results/PASSING results/LEAKING

Needs Chromium (or Chrome) and Pillow, which comes with matplotlib. Writes `pass.png`, `leak.png`
and `trace.png` beside this file.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH_PX, HEIGHT_PX = 1160, 900
#: two pictures that are compared need the same colours in both, and far fewer of them than a photograph
COLOURS = 128


def main() -> int:
    parser = argparse.ArgumentParser(description="Pictures of two reports, for the README.")
    parser.add_argument("passing", type=Path, help="results of a smoke that passed")
    parser.add_argument("leaking", type=Path, help="results of a smoke on a backend that leaks")
    folders = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"expected one of {', '.join(BROWSERS)} on the path, found none; install Chromium", file=sys.stderr)
        return 2
    for page, name in (
        (folders.passing / "report.html", "pass.png"),
        (folders.leaking / "report.html", "leak.png"),
        (folders.leaking / "trace.html", "trace.png"),
    ):
        if not page.is_file():
            print(f"{page}: no such file; name the results of a load test", file=sys.stderr)
            return 2
        take(browser, page.resolve(), HERE / name)
        print(f"{HERE / name}: {(HERE / name).stat().st_size // 1024} KiB")
    return 0


def take(browser: str, page: Path, picture: Path) -> None:
    """The page's first screen, as a small PNG."""
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        # a window taller than the picture: a short page would otherwise be stretched to it
        options += ["--hide-scrollbars", f"--window-size={WIDTH_PX},{HEIGHT_PX + 200}", f"--user-data-dir={scratch}"]
        command = [browser, *options, f"--screenshot={raw}", page.as_uri()]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
        first_screen = Image.open(raw).convert("RGB").crop((0, 0, WIDTH_PX, HEIGHT_PX))
        first_screen.quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
