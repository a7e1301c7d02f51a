"Models behind HTTP: the labels of the model itself, and everything that can go wrong on the way"

import io
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch

pytest.importorskip("httpx")

from misas.core.cases import Case, Source
from misas.core.model import Model, as_model
from misas.data.phantoms import phantom
from misas.eval.scoring import evaluate
from misas.models.remote import _from_npy, _to_npy, serve
from misas.transforms.basic import Rotate

FORMATS = ("npy", "json")


class Two(Model):
    "Labels and probabilities from thresholds"

    def predict(self, images, template):
        return (images[:, 0] > 0.3).int() + (images[:, 0] > 0.6).int()

    def probabilities(self, images, template):
        p = images[:, :1].clamp(0, 1)
        return torch.cat([1 - p, p], 1)


class Halved:
    "Prepares the intensities"

    def prepareSize(self, item):
        return item / 2 if item.dtype.kind == "f" else item

    def predict(self, image):
        return ((image if image.ndim == 2 else image[..., 0]) > 0.2).astype(int)


class Cut(Halved):
    "Changes the size"

    def prepareSize(self, item):
        return item[2:-2]


def reddish(image):
    "A function for grey and colour images"
    return image[..., 0] > 0.5 * image[..., 1:].sum(-1) if image.shape[-1] == 3 else image > 0.5


def case_of(shape):
    case = phantom(shape, seed=0)
    return Case(case.image / case.image.max(), case.truth, spacing=case.spacing)


@pytest.fixture
def case():
    return case_of((48, 48))


@pytest.fixture
def grey():
    return case_of((30, 20)).replace(source=Source("array", "float32", "none"))


@pytest.fixture
def red(grey):
    channels = torch.cat([grey.image, grey.image.flip(1), grey.image.flip(2)])
    return Case(channels, source=Source("array", "float32", "last"))


def test_pickled_objects_are_refused():
    assert np.array_equal(_from_npy(_to_npy(np.eye(3, dtype=np.float32))), np.eye(3))
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}]))
    with pytest.raises(ValueError, match="allow_pickle"):
        _from_npy(buffer.getvalue())


@pytest.mark.parametrize("shape", [(33, 28), (3, 20, 17)], ids=["2D", "3D"])
def test_labels_and_probabilities_are_those_of_the_model(shape):
    case = case_of(shape)
    images = case.image[None]
    with serve(Two()) as url:
        for format in FORMATS:
            assert torch.equal(as_model(url, format=format)(images, case), Two()(images, case))
        assert as_model(url).probabilities(images, case) is None
    with serve(Two(), probabilities=True) as url:
        for format in FORMATS:
            model = as_model(url, format=format)
            assert torch.equal(model.probabilities(images, case), Two().probabilities(images, case))
            assert torch.equal(model(images, case), (case.image > 0.5).int())


@pytest.mark.parametrize("obj", [reddish, Halved()], ids=["function", "object"])
def test_model_gets_what_it_would_get_in_the_same_process(grey, red, obj):
    direct = as_model(obj)
    with serve(obj) as url:
        for case in (grey, red):
            expected = direct(direct.prepare(case).image[None], case)
            assert expected.any()
            assert not expected.all()
            for format in FORMATS:
                assert torch.equal(as_model(url, format=format)(case.image[None], case), expected)


def test_model_that_changes_the_size_is_refused(grey):
    message = r"must have the image's size \(30, 20\), got \(26, 20\)"
    with serve(Cut()) as url, pytest.raises(ValueError, match=message):
        as_model(url)(grey.image[None], grey)


def test_probabilities_that_do_not_exist_are_refused(grey):
    message = r"gives no probabilities; use serve\(..., probabilities=False\)"
    with serve(reddish, probabilities=True) as url, pytest.raises(ValueError, match=message):
        as_model(url)(grey.image[None], grey)


class Busy(Model):
    "Notes how many requests are in it at once"

    def __init__(self):
        self.inside = 0
        self.most = 0

    def predict(self, images, template):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.02)
        self.inside -= 1
        return images[:, 0] > 0.5


def test_one_request_at_a_time_is_in_the_model(grey):
    busy = Busy()
    expected = (grey.image > 0.5).int()
    with serve(busy) as url, ThreadPoolExecutor(6) as several:
        masks = list(several.map(lambda _: as_model(url)(grey.image[None], grey), range(6)))
    assert all(torch.equal(mask, expected) for mask in masks)
    assert busy.most == 1


def test_evaluation(case):
    options = dict(labels={1: "dim"}, progress=False)
    with serve(Two()) as url:
        far = evaluate(as_model(url, name="here", batch_size=4), case, Rotate(), [-20, 0, 20], **options)
    near = evaluate(Two(), case, Rotate(), [-20, 0, 20], **options)
    assert far.score.tolist() == near.score.tolist()


class Moody(BaseHTTPRequestHandler):
    "Responds with what is next on the server's list"

    def log_message(self, *args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        status, data = self.server.replies.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_busy_server_gets_the_request_again(server, case):
    model = as_model(f"http://me:secret@127.0.0.1:{server.server_port}/x?key=1", retries=2, timeout=5)
    mask = _to_npy(np.zeros((1, 48, 48), np.uint8))
    server.replies = [(503, b""), (429, b""), (200, mask)]
    assert not model(case.image[None], case).any()
    assert not server.replies
    assert "secret" not in model.name
    assert "key" not in model.name


NINE = _to_npy(np.zeros((1, 9, 9), int))


@pytest.mark.parametrize(
    "reply, retries, message",
    [
        ((503, b""), 2, "no response from .* to 3 requests.*503"),
        ((403, b"who are\nyou?"), 0, "responded with 403: who are you"),
        ((200, b"hello"), 0, "not a mask in the format npy"),
        ((200, NINE), 0, r"\(9, 9\)"),
    ],
    ids=["busy", "forbidden", "nonsense", "size"],
)
def test_server_that_fails_is_an_error(server, case, reply, retries, message):
    server.replies = [reply] * 81
    model = as_model(f"http://127.0.0.1:{server.server_port}", retries=retries, timeout=5)
    with pytest.raises(ValueError, match=message):
        model(case.image[None], case)


def test_server_that_is_not_there(server, case):
    server.shutdown()
    server.server_close()
    gone = as_model(f"http://127.0.0.1:{server.server_port}", retries=0)
    with pytest.raises(ValueError, match="no response from .* to 1 requests"):
        gone(case.image[None], case)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(format="xml"), "format must be one of 'npy', 'json', got 'xml'"),
        (dict(timeout=0), "timeout must be a number > 0, got 0"),
        (dict(retries=-1), "retries must be an integer >= 0, got -1"),
        (dict(batch_size=0), "batch_size must be an integer >= 1, got 0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        as_model("http://127.0.0.1", **options)


def test_old_name_of_format():
    with pytest.warns(DeprecationWarning, match="argument form of .* is now called format"):
        assert as_model("http://127.0.0.1", form="json").format == "json"


def test_no_proxy_between_two_programs_of_one_computer(case, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # leads nowhere
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serve(Two()) as url:
        assert as_model(url, retries=0)(case.image[None], case).shape == (1, 48, 48)
    with pytest.raises(ValueError, match="no response from .* to 1 requests.*ConnectError"):
        as_model("http://a.model.invalid/predict", retries=0)(case.image[None], case)


def test_cache_key_knows_the_query():
    "It may choose a model"
    assert as_model("http://a/x?model=1").fingerprint() == as_model("http://a/x?model=1").fingerprint()
    assert len({as_model(f"http://a/x?model={i}", name="m").fingerprint() for i in (1, 2)}) == 2


@pytest.mark.parametrize(
    "url, local",
    [
        ("http://127.0.0.1:8/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:8", True),
        ("http://example.org", False),
        ("https://localhost", False),
    ],
)
def test_local_servers_are_known(url, local):
    assert as_model(url).is_local == local
