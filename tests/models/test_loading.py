"Models from files: what they need, and what is refused"

import re
import sys

import pytest
import torch

from misas.core.model import as_model
from misas.models.loading import LOADERS, check_trust, load_model, model_loader, model_specs

pytestmark = [pytest.mark.filterwarnings("ignore:.*torch.jit"), pytest.mark.filterwarnings("ignore::FutureWarning")]


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1))
    return net.eval()


@pytest.fixture
def image():
    return torch.rand(1, 3, 16, 16)


@pytest.fixture
def folder(tmp_path, net, image, monkeypatch):
    torch.jit.script(net).save(tmp_path / "net.pt")
    torch.export.save(torch.export.export(net, (image,)), tmp_path / "net.pt2")
    torch.save(net, tmp_path / "pickled.pt")
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    (tmp_path / "my_model.py").write_text(
        "class Bright:\n    def predict(self, image): return image[..., 0] > .5\nbright = Bright()\n"
    )
    (tmp_path / "no.pt").write_text("no model")
    (tmp_path / "no.txt").write_text("no model")
    (tmp_path / "folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_model", None)


@pytest.mark.parametrize("file, trust", [("net.pt", True), ("net.pt2", True), ("pickled.pt", True)])
def test_networks_give_what_they_gave(folder, net, image, file, trust):
    loaded = load_model(folder / file, trust)
    expected = net(image).max(1).indices.int()
    assert (loaded(image) == expected).float().mean() > 0.99
    assert loaded.name == file.split(".")[0]
    assert load_model(str(folder / file), trust, labels=list("abcd"), name="mine").name == "mine"


@pytest.mark.parametrize("spec", ["my_model:Bright", "my_model:bright"])
def test_objects_of_modules(folder, spec):
    assert load_model(spec).name == spec.split(":")[1]


def test_the_current_folder_is_looked_in(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(folder))])
    assert load_model("my_model:bright").name == "bright"


@pytest.mark.parametrize("bad", ["demoo", "no.txt", "folder", "a b:c"])
def test_what_is_no_model(folder, bad):
    spec = folder / bad if bad in ("no.txt", "folder") else bad
    with pytest.raises(ValueError, match="model must be 'demo'.*got '"):
        load_model(spec)


@pytest.mark.parametrize("missing", ["missing.pt", "C:missing.pt", r"C:\models\net.pt", "a/b", "models/net.keras"])
def test_files_that_do_not_exist(missing):
    for load in (load_model, as_model):
        with pytest.raises(ValueError, match=f"model '{re.escape(repr(missing)[1:-1])}' does not exist"):
            load(missing)


@pytest.mark.parametrize(
    "bad, error",
    [
        ("no.pt", "not what torch saves"),
        ("my_model:dark", "AttributeError: module 'my_model' has no attribute 'dark'"),
        ("no_module:x", "ModuleNotFoundError: No module named 'no_module'"),
    ],
)
def test_what_cannot_be_loaded(folder, bad, error):
    spec = bad if ":" in bad else str(folder / bad)
    with pytest.raises(ValueError, match=f"model '{re.escape(spec)}' cannot be loaded: .*{error}"):
        load_model(spec)


@pytest.mark.parametrize(
    "file, error",
    [
        ("pickled.pt", "pickled network can bring code.*trust=True"),
        ("net.pt", "TorchScript program can bring code.*trust=True"),
        ("net.pt2", "exported program can bring code.*trust=True"),
        ("weights.pt", r"holds weights \(a state dict\), no network: make the network"),
    ],
)
def test_what_needs_trust_or_a_network(folder, file, error):
    with pytest.raises(ValueError, match=error):
        load_model(folder / file)


def test_trust():
    with pytest.raises(ValueError, match="a pickle can bring code.*trust=True"):
        check_trust("a pickle", False)
    check_trust("a pickle", True)


def test_further_loaders(tmp_path, monkeypatch):
    monkeypatch.setattr("misas.models.loading.LOADERS", dict(LOADERS))
    import misas.models.loading as loading

    @model_loader(".own", "config/own.json")
    def load(path, trust):
        return lambda image: image > 0.5

    assert loading.LOADERS[".own"] is load and ".own" in model_specs() and "config/own.json" in model_specs()
    (tmp_path / "model.own").write_text("")
    (tmp_path / "model" / "config").mkdir(parents=True)
    (tmp_path / "model" / "config" / "own.json").write_text("")
    for path in ("model.own", "model.OWN"):
        (tmp_path / path).write_text("")
        assert load_model(tmp_path / path).name == "model"
    assert load_model(tmp_path / "model").name == "model"


def test_the_demo():
    assert load_model("demo").name == "demo" and load_model("demo", name="mine").name == "mine"
    assert load_model("demo").labels == ("bg", "LV", "MY", "RV")
