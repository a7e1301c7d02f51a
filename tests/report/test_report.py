"Reports: what stands in them, how large they are, what a browser makes of them"

import io
import json
import re

import altair as alt
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from browser import opened
from PIL import Image

import misas as ms
from misas.report.blocks import as_blocks, number_text
from misas.report.chapters import without_folders
from misas.report.pictures import spread_values
from misas.report.tolerated import is_within, mark_of, missed_text, place_in_range

EVIL = "<script>alert(1)</script>"
VALUES = dict(rotation=[-30, -10, 0, 10, 30], brightness=[0.5, 1, 2], dihedral=[0, 1, 2])


@pytest.fixture(scope="module")
def findings():
    cases = [
        ms.phantom((64, 64), seed=seed).replace(name=f"{EVIL} {seed}", columns=dict(scanner="AB"[seed % 2]))
        for seed in range(4)
    ]
    models = {"demo": ms.demo_model(), "two & <b>": lambda image: image > 0.5}
    labels = {1: "LV", 2: "MY"}
    scores = ms.evaluate(models, cases, list(VALUES), VALUES, labels=labels, progress=False)
    summary = ms.summarise(scores)
    parts = [scores[scores.model == name] for name in models]
    return ms.Findings(
        "A study </script>",
        scores,
        summary,
        comparison=ms.compare(*parts),
        groups=dict(scanner=ms.summarise(scores, by="scanner")),
        floor=ms.noise_floor(ms.demo_model(), cases[:1], ["rotation"], progress=False),
        guarantees=ms.guarantee(scores, correction=None),
        augmentation={name: ms.suggest_augmentation(summary[summary.model == name]) for name in models},
        errors=[dict(model="demo", case="lost", error="OSError: no file '/data/Doe^John/7.dcm'")],
        pictures=ms.make_pictures(models, cases, list(VALUES), scores),
        command="misas study /home/doe/secret/study.toml",
        study_text='models = ["demo"]',
        facts=dict(reference="the truth of each case", seed=0, store="/home/doe/store"),
        by=["scanner"],
    )


@pytest.fixture(scope="module")
def report(findings, tmp_path_factory):
    return ms.save_report(findings, tmp_path_factory.mktemp("report") / "report.html")


# the file


def test_a_report_holds_all_sections_in_order(report):
    text = report.read_text()
    found = re.findall(r'<section id="(\w+)"', text)
    assert found == ["verdict", "cases", "curves", "comparison", "groups", "floor", "help", "failures", "methods"]
    assert text.count("<h1>") == 1 and not re.search(r"<h[3-6]", text)


def test_no_name_ends_a_script_or_opens_an_element(report):
    text = report.read_text()
    assert EVIL not in text and "<b>" not in text.replace("<b>.", "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; 0" in text
    # the bundle of charts, the script of the page, and data of charts
    opening, closing = len(re.findall(r"<script[ >]", text)), text.count("</script>")
    assert opening == closing


def test_a_report_refers_to_nothing_outside(report):
    text = report.read_text()
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r'(src|href)="(?!data:|#)', own)
    assert "@import" not in own and not re.search(r"url\((?!data:)", own)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert "script-src &#39;sha256-" in policy or "script-src 'sha256-" in policy
    assert "connect-src" not in policy


def test_folders_do_not_enter(report):
    text = report.read_text()
    for secret in ("Doe^John", "/home/", "/data/", "secret/"):
        assert secret not in text
    assert "no file &#39;7.dcm&#39;" in text and "misas study study.toml" in text


def test_a_section_that_fails_is_named_and_the_others_are_there(findings, tmp_path):
    @ms.section("Mine", after="verdict")
    def mine(found):
        raise RuntimeError("out of <luck>")

    try:
        with pytest.warns(UserWarning, match="section 'mine' of the report failed.*out of <luck>"):
            text = ms.save_report(findings, tmp_path / "r.html").read_text()
    finally:
        ms.remove_section("mine")
    assert "could not be made: RuntimeError: out of &lt;luck&gt;" in text
    assert '<section id="methods"' in text


def test_sections_can_be_chosen(findings, tmp_path):
    text = ms.save_report(findings, tmp_path / "r.html", sections=["methods", "failures"]).read_text()
    assert re.findall(r'<section id="(\w+)"', text) == ["methods", "failures"]
    # without charts there is no library of charts
    assert len(text) < 100_000
    with pytest.raises(ValueError, match="sections must be one of .*got 'method' .did you mean 'methods'"):
        ms.save_report(findings, tmp_path / "r.html", sections=["method"])


def test_what_cannot_be_written_leaves_nothing(findings, tmp_path):
    with pytest.raises(ValueError, match="ends with .html, got"):
        ms.save_report(findings, tmp_path / "report.pdf")
    with pytest.raises(ValueError, match="in a folder that exists"):
        ms.save_report(findings, tmp_path / "none" / "report.html")
    with pytest.raises(TypeError, match="findings must be a Findings, got"):
        ms.save_report(findings.scores, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


# content


def test_what_a_section_may_return():
    figure, ax = plt.subplots()
    ax.set_title("drawn")
    chart = alt.Chart(pd.DataFrame(dict(x=[1], y=[2]))).mark_point().encode(x="x", y="y")
    table = pd.DataFrame(dict(a=[1.23456]), index=["row"])
    blocks = as_blocks([figure, chart, table, Image.new("RGB", (3, 2)), "one\n\ntwo", None], "Title")
    plt.close(figure)
    assert [block.kind for block in blocks] == ["figure", "chart", "table", "figure", "text"]
    assert blocks[0].picture.caption == "drawn" and blocks[3].picture.width == 3
    assert [cell.text for cell in blocks[2].rows[0]] == ["row", "1.23"]
    assert blocks[1].spec["data"]["values"] == [dict(x=1, y=2)]
    with pytest.raises(TypeError, match="what section 'Title' returns must be a text, a table"):
        as_blocks(object(), "Title")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-2.0, "−2"), (12345.6, "12,346"), (np.inf, "∞"), (-np.inf, "−∞"), (np.nan, ""), (0, "0")],
)
def test_numbers_for_people(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/a/b/c.dcm", "c.dcm"),
        ("read '/a/b c/d.png' twice", "read '/a/b c/d.png' twice".replace("/a/", "")),
        (r"C:\Users\doe\x.nii.gz", "x.nii.gz"),
        ("~/data/x.png ../y/z.png ./a", "x.png z.png ./a"),
        ("mm/px 1/255 and/or", "mm/px 1/255 and/or"),
    ],
)
def test_texts_without_folders(text, kept):
    if " c/" in text:
        assert "/a/" not in without_folders(text)
    else:
        assert without_folders(text) == kept


def test_places_in_ranges():
    row = pd.Series(dict(categorical=False, neutral=1.0, tried_low=0.25, tried_high=2.0, log=True))
    assert place_in_range(0.5, row) == pytest.approx(-0.5)
    assert place_in_range(2.0, row) == 1 and place_in_range(1.0, row) == 0
    row = pd.Series(dict(categorical=False, neutral=0, tried_low=0, tried_high=10, log=False))
    assert place_in_range(5, row) == 0.5 and place_in_range(0, row) == 0
    assert place_in_range(np.nan, row) is None
    assert place_in_range(1, pd.Series(row.to_dict() | dict(neutral=None))) is None


def test_within_is_what_the_summary_says(findings):
    summary = findings.summary
    for _, row in summary[~summary.categorical.astype(bool)].iterrows():
        cut = bool(row.tolerance_low_cut and row.tolerance_high_cut)
        lost = row.neutral_score <= 0.05
        assert is_within(row) == (cut and not lost), row


# worst cases


def test_worst_cases_by_hand():
    rows = [
        ("m", "a", 0, 0.9),
        ("m", "a", 10, 0.5),
        ("m", "b", 0, 0.8),
        ("m", "b", 10, 0.1),
        ("n", "a", 0, 0.9),
        ("n", "a", 10, 0.6),
    ]
    scores = pd.DataFrame(rows, columns=["model", "case", "value", "score"])
    scores = scores.assign(transform="rotation", param="deg", label="LV", metric="dice")
    scores.attrs["transforms"] = dict(rotation=dict(param="deg", unit="°", neutral=0, log=False, categorical=False))
    scores.attrs["metrics"] = dict(dice=dict(unit="", better="higher"))
    worst = ms.worst_cases(scores)
    assert worst.case.tolist() == ["b", "a"]
    assert worst["drop"].tolist() == pytest.approx([0.7, 0.4])
    assert worst.model.tolist() == ["m", "m"] and worst.value.tolist() == [10, 10]
    per = ms.worst_cases(scores, per=("model", "transform"))
    assert per[["model", "case"]].values.tolist() == [["m", "b"], ["n", "a"]]
    # less is better
    scores.attrs["metrics"] = dict(dice=dict(unit="mm", better="lower"))
    assert ms.worst_cases(scores)["drop"].max() == pytest.approx(0)
    with pytest.raises(ValueError, match="per must be one of"):
        ms.worst_cases(scores, per=("patient",))


# pictures


@pytest.mark.parametrize("count", [3, 5, 14, 73])
@pytest.mark.parametrize("most", [3, 5, 13])
def test_values_of_an_animation(count, most):
    values = list(range(count))
    for neutral in values:
        for worst in values:
            chosen = spread_values(values, [neutral, worst], most)
            assert {neutral, worst} <= set(chosen) and chosen == sorted(set(chosen))
            # two that are needed, both inside, are one more than three that have to hold the ends as well
            assert len(chosen) == min(count, most) or most == 3 and len(chosen) == 4
            assert {0, count - 1} <= set(chosen)


def test_pictures_keep_to_their_budget(tmp_path):
    cases = [ms.phantom((64, 64), seed=seed) for seed in range(3)]
    scores = ms.evaluate(ms.demo_model(), cases, "rotation", [-20, 0, 20], progress=False)
    with pytest.warns(UserWarning, match="pictures are left out, since all together may have 0.004 MB"):
        few = ms.make_pictures(ms.demo_model(), cases, ["rotation"], scores, limit=0.004)
    assert sum(len(picture.uri) for picture in few) <= 4000


def test_pictures_of_a_volume():
    case = ms.phantom((6, 48, 48), seed=0)
    model = ms.SliceWise(ms.demo_model())
    scores = ms.evaluate(model, [case], "rotation", [-20, 0, 20], progress=False)
    pictures = ms.make_pictures(model, [case], ["rotation"], scores)
    assert [picture.kind for picture in pictures] == ["thumbnail", "thumbnail", "animation"]
    sheet = Image.open(io.BytesIO(pictures[-1].data))
    assert sheet.size == (pictures[-1].width, 3 * pictures[-1].height)
    assert pictures[-1].captions == ("deg = −20°", "deg = 0°", "deg = 20°")


# sizes


def many_scores(cases, transforms, values=13, labels=3):
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [
            [f"case {k}" for k in range(cases)],
            [f"t{k}" for k in range(transforms)],
            range(-6, values - 6),
            list("abc")[:labels],
        ],
        names=["case", "transform", "value", "label"],
    )
    table = index.to_frame(index=False).assign(model="m", param="x", metric="dice")
    table["score"] = 0.9 - 0.02 * rng.random(len(table)) * np.abs(table.value)
    facts = dict(param="x", unit="", neutral=0, log=False, categorical=False)
    table.attrs["transforms"] = {f"t{k}": facts for k in range(transforms)}
    table.attrs["metrics"] = dict(dice=dict(unit="", better="higher"))
    return table


def noisy_pictures(count):
    "As large as pictures get: noise cannot be compressed"
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(file, "webp", quality=78)
    one = dict(
        model="m", transform="t0", value="0", kind="thumbnail", mime="image/webp", caption="", width=200, height=200
    )
    return tuple(ms.ReportPicture(case=f"case {k}", data=file.getvalue(), **one) for k in range(count))


def test_100_cases_and_10_transforms_take_less_than_10_mb(tmp_path):
    scores = many_scores(100, 10)
    findings = ms.Findings("Many", scores, ms.summarise(scores, resamples=50), pictures=noisy_pictures(160))
    # pictures of a study are held to 6 MB by make_pictures
    assert 4e6 < sum(len(picture.uri) for picture in findings.pictures) < 6e6
    path = ms.save_report(findings, tmp_path / "report.html")
    assert path.stat().st_size < 10e6


def test_20_000_cases_are_cut_and_said(tmp_path):
    scores = many_scores(20_000, 1, values=8, labels=1)
    findings = ms.Findings("Very many", scores, ms.summarise(scores, resamples=20))
    path = ms.save_report(findings, tmp_path / "report.html")
    text = path.read_text()
    assert "The worst 200 of 20,000 cases; all scores are in the files beside the report." in text
    assert "medians and percentiles of 20,000 cases" in text
    assert path.stat().st_size < 2e6


# grades


def test_grades_come_back_as_a_column(findings, tmp_path):
    names = list(findings.scores.case.unique())
    told = [dict(case=names[0], grade="fail", comment="=leaks"), dict(case=names[1], grade="pass", comment="")]
    path = tmp_path / "grades.json"
    path.write_text(json.dumps(dict(format="misas grades", version=1, grades=told)))
    graded = ms.with_grades(findings.scores, path)
    assert graded.groupby("case", sort=False).grade.first().tolist()[:2] == ["fail", "pass"]
    assert graded[graded.case == names[2]].grade.isna().all()
    assert graded.attrs["transforms"] == findings.scores.attrs["transforms"]
    ms.save_scores(graded, tmp_path / "scores.parquet")
    ms.save_scores(graded, tmp_path / "scores.csv")
    for name in ("scores.parquet", "scores.csv"):
        assert ms.read_scores(tmp_path / name).comment.dropna().unique().tolist()[0] == "=leaks"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.json", "{", "must be a file of grades that a report saved, got .*g.json"),
        ("g.json", '{"grades": []}', 'has no "format"'),
        ("g.csv", "name,grade\na,pass\n", "has no column 'case'"),
        (
            "g.csv",
            "case,grade\na,good\n",
            "grade of case 'a' in 'g.csv' must be one of pass, fail, artefact, got 'good'",
        ),
        ("g.csv", "case,grade\na,pass\na,fail\n", "must have one grade, got two for 'a'"),
        ("g.txt", "", "ends with .json or .csv"),
    ],
)
def test_bad_grades_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        ms.read_grades(tmp_path / name)


def test_a_grade_of_an_unknown_case_is_an_error(findings):
    grades = pd.DataFrame(dict(case=["elsewhere"], grade=["pass"]))
    with pytest.raises(ValueError, match="case of grades must be one of those in scores, got 'elsewhere'"):
        ms.with_grades(findings.scores, grades)


# in a browser


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_page_is_quiet_and_fits(report, width, scheme):
    with opened(report, width, scheme, wait=3000) as page:
        assert page.said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".chart svg.marks").count() == page.locator(".chart").count() == 4
        assert page.title() == "A study </script>"
        # contrast of text on paper, as WCAG defines it
        colours = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert contrast(*colours) > 7
        assert page.evaluate("Array.from(document.images).every(i => i.alt && i.complete && i.naturalWidth > 0)")


def luminance(colour):
    channels = np.array([int(n) for n in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_tables_are_sorted_by_mouse_and_keyboard(report):
    with opened(report, wait=500) as page:
        head = page.locator("#verdict table th", has_text="drop")
        column = head.evaluate("head => head.cellIndex")

        def shown():
            script = f"rows => rows.map(row => row.cells[{column}].dataset.order)"
            found = page.locator("#verdict table tbody tr").evaluate_all(script)
            return [float(order) for order in found if order is not None]

        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending" and shown() == sorted(shown())
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "descending" and shown() == sorted(shown(), reverse=True)


def test_cases_are_graded_by_key_and_saved(report, findings, tmp_path):
    with opened(report, wait=500) as page:
        rows = page.locator(".cases tbody tr")
        names = rows.evaluate_all("rows => rows.map(row => row.dataset.case)")
        rows.nth(0).focus()
        page.keyboard.press("f")
        page.keyboard.press("c")
        page.keyboard.type("=jumps, far")
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("a")
        assert page.locator(".graded").text_content() == "2 of 4 graded"
        for form in ("json", "csv"):
            with page.expect_download() as download:
                page.locator(f'.save[data-form="{form}"]').click()
            path = tmp_path / f"grades.{form}"
            download.value.save_as(path)
            grades = ms.read_grades(path)
            assert grades.values.tolist() == [[names[0], "fail", "=jumps, far"], [names[1], "artefact", ""]]
        assert ms.with_grades(findings.scores, path).grade.notna().any()
        page.reload()
        assert page.locator(".graded").text_content() == "2 of 4 graded"
        assert page.said == []


def test_what_is_folded_and_what_is_clicked_is_not_printed(report):
    with opened(report, 794) as page:
        page.locator("main > section > details summary").first.click()
        page.locator(".cases input[value=fail]").first.check()
        page.emulate_media(media="print")
        shown = page.locator("main > section > details").evaluate_all("all => all.map(one => one.checkVisibility())")
        assert shown == [True, False, False]
        assert page.locator("nav").is_hidden() and page.locator(".save").first.is_hidden()
        # of the grades, those that were given
        assert page.locator(".cases label").evaluate_all("all => all.filter(one => one.checkVisibility()).length") == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 794
        data = page.pdf(format="A4")
        assert data[:5] == b"%PDF-" and len(data) > 50_000


def test_an_animation_is_stopped_and_moved_by_hand(report):
    with opened(report, wait=500) as page:
        player = page.locator(".player").first
        said = player.locator("output")
        slider = player.locator("input")
        slider.focus()
        page.keyboard.press("Home")
        assert said.text_content() == "deg = −30°"
        page.keyboard.press("End")
        assert said.text_content() == "deg = 30°"
        player.locator(".play").click()
        page.wait_for_timeout(800)
        player.locator(".play").click()
        before = said.text_content()
        page.wait_for_timeout(500)
        assert said.text_content() == before


# labels that are lost before anything is changed


def missed_table(*unchanged):  # a score for each case
    rows = [
        dict(model="m", case=f"c{i}", transform="brightness", param="factor", value=value, label="LV", metric="dice",
             score=score if value == 1 else score - 0.01)
        for i, score in enumerate(unchanged)
        for value in (0.5, 1.0, 2.0)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "unchanged, mark, said",
    [
        ((0.9, 0.8, 0.9, 0.9), "pass", ""),
        ((0.9, 0.9, 0.9, 0.02), "pass", ""),
        ((0.9, 0.9, 0.02, 0.02), "note", "LV (mean dice 0.46)"),
        ((0.02, 0.02, 0.02, 0.02), "fail", "LV (mean dice 0.02)"),
    ],
)
def test_a_label_that_is_lost_before_anything_is_changed_never_passes(unchanged, mark, said):
    scores = missed_table(*unchanged)
    findings = ms.Findings("Blind", scores, ms.summarise(scores))
    assert mark_of(findings.summary.iloc[0]) == mark
    text = missed_text(findings)
    assert said in text and bool(text) == bool(said)
