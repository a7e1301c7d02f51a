"What the pages of the guide say works, and nothing is missing from them"

import re
import warnings
from pathlib import Path

import gallery
import pytest
import snippets

import misas as ms

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {page.relative_to(DOCS).with_suffix("").as_posix(): page for page in snippets.pages()}
RUN = [name for name, page in PAGES.items() if any(code for _, code, _ in snippets.parts(page))]


def nnunet_folder():
    "What training of nnU-Net leaves behind, with random weights"
    from models.test_nnunet import HEART, trained

    trained(Path("nnUNetTrainer__nnUNetPlans__2d"), 2, "NaturalImage2DIO", ".png", HEART)


SETUP = {"frameworks/nnunet": nnunet_folder}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RUN)
def test_page_runs(name):
    page = PAGES[name]
    for package in snippets.needs(page):
        pytest.importorskip(package, exc_type=ImportError)
    snippets.run_page(page, setup=SETUP.get(name))


def test_a_block_without_a_figure_above_a_picture_is_an_error(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\na = 1\na\n```\n\n![one](made/one.png)\n")
    with pytest.raises(TypeError, match="one.png: the block above it must end with a figure, a chart or a path, got 1"):
        snippets.run_page(page)


def test_pictures_are_made_and_made_again_when_the_page_changes(tmp_path):
    page = tmp_path / "page.md"
    text = "```python\nimport misas as ms\nms.plot_transform(ms.phantom((48, 48)), 'rotation', [0, 30])\n```\n\n"
    page.write_text(text + "![turned](made/turned.png)\n")
    snippets.write_pictures(page)
    first = tmp_path / "made" / "turned.png"
    assert 1000 < first.stat().st_size < snippets.LIMIT
    stamp = first.stat().st_mtime_ns
    snippets.write_pictures(page)
    assert first.stat().st_mtime_ns == stamp
    page.write_text(text.replace("30", "60") + "![turned](made/turned.png)\n")
    snippets.write_pictures(page)
    assert first.stat().st_mtime_ns != stamp


def test_every_plot_is_explained_with_a_picture():
    text = PAGES["guide/plots"].read_text(encoding="utf-8")
    explained = re.findall(r"^### (plot_\w+)$", text, re.M)
    pictures = re.findall(r"\(made/(plot_\w+)\.png\)", text)
    assert sorted(explained) == sorted(name for name in ms.__all__ if name.startswith("plot_"))
    assert sorted(pictures) == sorted(explained)


def test_every_question_of_the_table_has_its_answer():
    text = PAGES["guide/questions"].read_text(encoding="utf-8")
    asked = re.findall(r"^\| \[(.+?)\]\(#(.+?)\) \|", text, re.M)
    answered = re.findall(r"^## (.+)$", text, re.M)
    assert [question for question, _ in asked] == answered
    for question, anchor in asked:
        assert anchor == re.sub(r"[^\w -]", "", question.lower()).replace(" ", "-")


def test_names_in_the_guide_exist():
    "Whatever is written as a call of misas is a public name"
    for name, page in PAGES.items():
        for called in re.findall(r"\bms\.(\w+)", page.read_text(encoding="utf-8")):
            assert called in ms.__all__, f"{name}: ms.{called}"


def test_gallery_shows_every_transform_with_its_facts():
    shown = [cls for classes in gallery.known_by_module().values() for cls in classes]
    # other tests register transforms of their own
    assert set(shown) == {cls for cls in ms.known_transforms().values() if cls.__module__.startswith("misas.")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flat, deep = ms.phantom((64, 64)), ms.phantom((6, 32, 32))
        captions = {cls.name: gallery.facts(cls, deep if gallery.needs_volume(cls, flat) else flat) for cls in shown}
    assert captions["rotation"].startswith("`Rotate`")
    for name, caption in captions.items():
        assert "neutral" in caption and "…" in caption, name


def test_gallery_knows_what_each_transform_needs():
    case = ms.phantom((64, 64), seed=3)
    known = [cls for classes in gallery.known_by_module().values() for cls in classes]
    of_model = {cls.name: gallery.model_for(cls) for cls in known if gallery.asks_model(cls)}
    assert {"adversarial", "box-shift", "click-jitter"} <= set(of_model) and "rotation" not in of_model
    assert all(of_model.values())
    assert "rotation-3d" in {cls.name for cls in known if gallery.needs_volume(cls, case)}


def test_every_page_is_reached_from_the_front():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for name in PAGES:
        folder, _, page = name.partition("/")
        toctree = index if folder == "guide" or page == "index" else (DOCS / folder / "index.md").read_text("utf-8")
        assert re.search(rf"^({name}|{page})$", toctree, re.M), name


def test_every_tutorial_begins_with_colab():
    for notebook in sorted((ROOT / "nbs" / "tutorials").glob("*.ipynb")):
        import json

        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = next(k for k, cell in enumerate(cells) if cell["cell_type"] == "code")
        before = "".join("".join(cell["source"]) for cell in cells[:code])
        assert f"/blob/main/nbs/tutorials/{notebook.name})" in before and "colab-badge.svg" in before, notebook.name
        assert "google.colab" in "".join(cells[code]["source"]), notebook.name
        assert "%pip install" in "".join(cells[code]["source"]), notebook.name
        assert notebook.stem in (DOCS / "index.md").read_text(encoding="utf-8")
