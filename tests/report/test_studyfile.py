"Study files: read, checked, written, and begun"

import pytest

import misas as ms
from misas.report.studyfile import line_of, toml_text, transform_of

GOOD = """# a study
models = ["demo"]
cases = "images"
transforms = ["rotation", {name = "spike", position = [0.3, 0.3]}]

[values]
rotation = [-10, 0, 10]
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return tmp_path / "study.toml"

    return write


def test_good_file(file):
    path = file(GOOD)
    study = ms.read_study_file(path)
    assert study.models == ["demo"]
    assert study.cases == str(path.parent / "images")
    assert str(transform_of(study.transforms[1])) == "spike(position=(0.3, 0.3))"
    assert study.values == {"rotation": [-10, 0, 10]}


@pytest.mark.parametrize(
    "old, new, line, words",
    [
        ('cases = "images"', "", None, "key 'cases' is missing: it must be a folder"),
        ('cases = "images"', 'case = "images"', 3, "key 'case' is unknown .did you mean 'cases'[?].; known are"),
        ('cases = "images"', "cases = 3", 3, "key 'cases' must be a folder of images.*, got 3"),
        ('cases = "images"', 'cases = "images"\njobs = "2"', 4, "key 'jobs' must be an integer.*, got '2'"),
        ('cases = "images"', 'cases = "images"\njobs = 0', 4, "jobs must be an integer from 1, or -1, got 0"),
        ('cases = "images"', 'cases = "images"\nfloor = 1', 4, "key 'floor' must be true or false.*, got 1"),
        ('cases = "images"', 'cases = "images"\ndelta = -1', 4, "delta must be a number > 0"),
        ('cases = "images"', 'cases = "images"\nmetrics = ["dise"]', 4, "did you mean 'dice'"),
        ('cases = "images"', 'cases = "images"\nversion = 2', 4, "version must be one of 1, got 2"),
        ('cases = "images"', 'cases = "images"\nlabels.x = "LV"', 4, "key of labels must be an integer"),
        ('"rotation"', '"rotatoin"', 4, "did you mean 'rotation'"),
        ("position =", "positon =", 4, "did you mean 'position'"),
        ("rotation = [-10, 0, 10]", "rotation = 3", 7, "key 'values.rotation' must be a table.*, got 3"),
        ("rotation = [-10, 0, 10]", "rotatoin = [3]", 6, "did you mean 'rotation'"),
        ('["demo"]', '{a = {spec = "demo", size = "fit:3"}}', 2, "size must be pad:16"),
        ('["demo"]', '{a = {spec = "demo", sise = "pad:3"}}', 2, "key 'sise' is unknown .did you mean 'size'"),
        ('["demo"]', "[]", 2, "models must be at least one model"),
        ('cases = "images"', 'cases = "images"\nfail_under = ["rotation ± x"]', 4, "fail_under must be TRANSFORM"),
    ],
)
def test_an_error_names_file_line_key_and_what_is_allowed(file, old, new, line, words):
    path = file(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=words) as error:
        ms.read_study_file(path)
    assert str(error.value).startswith(f"{path}, line {line}, " if line else f"{path}, ")


def test_no_toml_and_no_file(file, tmp_path):
    with pytest.raises(ValueError, match=r"study.toml must be TOML: .*line 2"):
        ms.read_study_file(file("cases = 'x'\nmodels = demo\n"))
    with pytest.raises(ValueError, match="study file must be a file that exists"):
        ms.read_study_file(tmp_path / "none.toml")


def test_lines_of_long_values():
    text = 'a = [\n  1,\n  2,\n]\n\n# c\nb = """\nx\n"""\n[c.d]\ne = 1\n'
    assert [line_of(text, path) for path in (["a"], ["b"], ["c"], ["c", "d"], ["z"])] == [1, 7, 10, 10, None]


def test_round_trip(file, tmp_path):
    study = ms.read_study_file(file(GOOD))
    (tmp_path / "out").mkdir()
    again = tmp_path / "out" / "again.toml"
    ms.write_study_file(study, again)
    assert 'cases = "../images"' in again.read_text()
    assert ms.read_study_file(again).values == study.values
    assert str(tmp_path) not in again.read_text()
    assert [transform_of(entry) for entry in ms.read_study_file(again).transforms] == list(
        map(transform_of, study.transforms)
    )


def test_every_key_can_be_written_and_read(file):
    study = ms.StudyFile(
        models={"a": {"spec": "demo", "size": "pad:16", "slicewise": True, "trust": False}, "b": "demo"},
        cases="x",
        title='A "title" with ∞',
        masks="m",
        rois={"LV": 1},
        labels={"1": "LV"},
        by=["scanner"],
        patient="id",
        delta={"dice": 0.1},
        fail_under=["rotation ±10° loses ≤ 0.05 dice"],
        ignore=255,
        store="s",
        resume=False,
        jobs=-1,
        made_with={"misas": "1", "models": {"a": "12"}},
    )
    found = ms.read_study_file(file(toml_text(study)))
    folder = found.cases.removesuffix("x")
    assert toml_text(found).replace(folder, "") == toml_text(study)


def test_init_writes_a_file_that_can_be_read(tmp_path):
    np = pytest.importorskip("numpy")
    from PIL import Image

    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / kind).mkdir()
    for seed in range(4):
        case = ms.phantom((16, 16), seed=seed)
        Image.fromarray((case.image[0] * 255).numpy().astype(np.uint8)).save(tmp_path / f"imagesTr/h{seed}_0000.png")
        Image.fromarray(case.truth.numpy().astype(np.uint8)).save(tmp_path / f"labelsTr/h{seed}.png")
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "LV": 1, "MY": 2, "RV": 3}}')
    (tmp_path / "cases.csv").write_text("case,scanner,patient_id\n" + "".join(f"h{k},{k % 2},p{k}\n" for k in range(4)))
    (tmp_path / "net.onnx").write_bytes(b"")
    (tmp_path / "mine.py").write_text("raise SystemExit\nclass Net:\n    def predict(self, image): ...\n")
    path = ms.init_study(tmp_path)
    study = ms.read_study_file(path)
    assert study.labels == {"1": "LV", "2": "MY", "3": "RV"}
    assert study.by == ["scanner"]
    assert study.patient == "patient_id"
    assert study.models == [str(tmp_path / "net.onnx"), "mine:Net"]
    assert study.cases == str(tmp_path)
    text = path.read_text()
    assert "cases: 4, 4 of them with a truth" in text
    # each line that is a remark shows a key as it could stand there
    examples = [line[2:] for line in text.splitlines() if line.startswith("# ") and " = " in line.split("{")[0]]
    assert {line.split(" ")[0].split(".")[0] for line in examples} >= {"title", "masks", "values", "delta", "jobs"}
    with pytest.raises(FileExistsError, match="--force"):
        ms.init_study(tmp_path)
    assert ms.init_study(tmp_path, force=True) == path


def test_init_in_an_empty_folder(tmp_path):
    text = ms.init_study(tmp_path).read_text()
    assert "cases: 0" in text
    assert "folder must be a folder with images" in text
    assert 'models = ["demo"]' in text
    with pytest.raises(ValueError, match="folder must be a folder that exists"):
        ms.init_study(tmp_path / "none")


def test_adaptive_values(tmp_path):
    path = tmp_path / "study.toml"
    lines = 'models = "demo"\ncases = "demo"\ntransforms = ["rotation"]\nvalues.rotation = {}\n{}\n'
    path.write_text(lines.format('"adaptive"', "resolution.rotation = 2\nbudget = 40"))
    assert ms.read_study_file(path).values == {"rotation": "adaptive"}
    path.write_text(lines.format('["adaptive", -30, 30]', ""))
    assert ms.read_study_file(path).values == {"rotation": ["adaptive", -30, 30]}
    wrong = [
        ('"all"', "", "values of rotation must be a list, or 'adaptive', got 'all'"),
        ("[0, 1]", "resolution = 2", "left out where no values are 'adaptive'"),
        ('"adaptive"', "resolution = 0", "resolution must be a number > 0"),
        ('"adaptive"', "budget = 2", "budget must be an integer >= 3"),
    ]
    for values, more, message in wrong:
        path.write_text(lines.format(values, more))
        with pytest.raises(ValueError, match=message):
            ms.read_study_file(path)
