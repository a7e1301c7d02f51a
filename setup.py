"""Package metadata lives in settings.ini; this hands it to setuptools."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
config = ConfigParser(delimiters=["="], interpolation=None)
config.read(here / "settings.ini", encoding="utf-8")
meta, extras = config["DEFAULT"], config["extras"]


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


setup(
    version=re.search(r'__version__ = "(.+?)"', (here / "misas" / "__init__.py").read_text())[1],
    description=meta["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=meta["author"],
    license=meta["license"],
    keywords=meta["keywords"],
    classifiers=lines(meta["classifiers"]),
    python_requires=f">={meta['python']}",
    project_urls={
        "Documentation": meta["documentation"],
        "Repository": meta["repository"],
        "Changelog": f"{meta['repository']}/blob/main/CHANGELOG.md",
        "Issues": f"{meta['repository']}/issues",
    },
    install_requires=lines(meta["requirements"]),
    extras_require={name: lines(text) for name, text in extras.items() if name not in meta},
    entry_points={"console_scripts": lines(meta["console_scripts"]), "nbdev": ["misas = misas._modidx:d"]},
)
