"Models behind HTTP: the labels of the model itself, and everything that can go wrong on the way"

import contextlib
import gzip
import io
import socket
import threading
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
from misas.models.remote import RemoteModel, _from_npy, _to_npy, serve
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
    with pytest.raises(TypeError, match="the array must be of numbers, got 'object'"):
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
    model = as_model(f"http://me:secret@127.0.0.1:{server.server_port}/x?key=1", retries=2, timeout=60)
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
    model = as_model(f"http://127.0.0.1:{server.server_port}", retries=retries, timeout=60)
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


# ---- neither side believes the other


def exchange(url, head, body=b"", more=()):
    "What a server sends back to these very bytes"
    port = int(url.split(":")[2].partition("/")[0])
    lines = [head, *(f"{name}: {value}" for name, value in more), "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        with contextlib.suppress(OSError):  # the server may have ended it already
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


GOOD = _to_npy(np.zeros((1, 1, 8, 8), np.float32))
POST = "POST /predict HTTP/1.1"
NPY = ("Content-Type", "application/x-npy")
JSON = ("Content-Type", "application/json")
HOST = ("Host", "127.0.0.1")


def length(body):
    return ("Content-Length", len(body))


def lying(shape, dtype="<f4"):
    "A .npy file whose head says more than there is"
    head = str({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(16)


def zipped(array):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=array)
    return buffer.getvalue()


BODIES = {
    "empty": (b"", NPY),
    "no npy": (b"hello", NPY),
    "truncated": (GOOD[:-1], NPY),
    "too long": (GOOD + b"x", NPY),
    "claims terabytes": (lying((1, 1, 1 << 20, 1 << 20)), NPY),
    "claims more than memory can name": (lying((1, 1, 1 << 62, 1 << 62)), NPY),
    "negative": (lying((1, 1, -1, -4)), NPY),
    "text": (_to_npy(np.full((1, 1, 8, 8), "a")), NPY),
    "complex": (_to_npy(np.zeros((1, 1, 8, 8), complex)), NPY),
    "times": (_to_npy(np.zeros((1, 1, 8, 8), "M8[s]")), NPY),
    "records": (_to_npy(np.zeros((1, 1, 8, 8), [("a", "f4")])), NPY),
    "zip": (zipped(np.zeros((1, 1, 2000, 2000))), NPY),
    "flat": (_to_npy(np.zeros((8, 8), np.float32)), NPY),
    "no image": (_to_npy(np.zeros((0, 1, 8, 8), np.float32)), NPY),
    "no json": (b"{", JSON),
    "list": (b"[]", JSON),
    "no images": (b"{}", JSON),
    "words": (b'{"images": [[[["a"]]]]}', JSON),
    "ragged": (b'{"images": [[[[1, 2], [3]]]]}', JSON),
    "spacing of words": (b'{"images": [[[[1, 2]]]], "spacing": ["a", 1]}', JSON),
    "deep": (b"[" * 100_000, JSON),
    "not utf-8": (b"\xff\xfe", JSON),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_are_refused(name):
    body, kind = BODIES[name]
    with serve(Two()) as url:
        reply = exchange(url, POST, body, [HOST, kind, length(body)])
        assert reply.startswith(b"HTTP/1.1 400 "), reply[:200]
        assert as_model(url)(torch.zeros(1, 1, 8, 8)).shape == (1, 8, 8)


def test_bad_spacing_is_refused():
    with serve(Two()) as url:
        for spacing in ("0,1", "nan,1", "1", "-1,1", "inf,1"):
            reply = exchange(url, POST, GOOD, [HOST, NPY, length(GOOD), ("X-Spacing", spacing)])
            assert reply.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 422 ")), reply[:200]


HEADS = {
    "other path": (404, "POST /other HTTP/1.1", [HOST, NPY, length(GOOD)]),
    "GET": (405, "GET /predict HTTP/1.1", [HOST]),
    "OPTIONS": (405, "OPTIONS /predict HTTP/1.1", [HOST]),
    "no host": (400, POST, [NPY, length(GOOD)]),
    "two hosts": (400, POST, [HOST, HOST, NPY, length(GOOD)]),
    "a name of somebody else": (403, POST, [("Host", "evil.example:80"), NPY, length(GOOD)]),
    "a page": (403, POST, [HOST, ("Origin", "http://evil.example"), NPY, length(GOOD)]),
    "a local page": (403, POST, [HOST, ("Origin", "null"), NPY, length(GOOD)]),
    "a form": (415, POST, [HOST, ("Content-Type", "text/plain"), length(GOOD)]),
    "no type": (415, POST, [HOST, length(GOOD)]),
    "compressed": (415, POST, [HOST, NPY, ("Content-Encoding", "gzip"), length(GOOD)]),
    "no length": (411, POST, [HOST, NPY]),
    "chunked": (411, POST, [HOST, NPY, ("Transfer-Encoding", "chunked")]),
    "chunked with a length": (411, POST, [HOST, NPY, ("Transfer-Encoding", "chunked"), length(GOOD)]),
    "two lengths": (400, POST, [HOST, NPY, length(GOOD), ("Content-Length", 1)]),
    "negative": (400, POST, [HOST, NPY, ("Content-Length", -1)]),
    "signed": (400, POST, [HOST, NPY, ("Content-Length", "+5")]),
    "large": (413, POST, [HOST, NPY, ("Content-Length", 1 << 40)]),
    "larger than numbers": (413, POST, [HOST, NPY, ("Content-Length", "9" * 5000)]),
    "longer than it is": (400, POST, [HOST, NPY, ("Content-Length", len(GOOD) + 1)]),
    "many heads": (431, POST, [HOST, NPY, *[(f"X-{i}", i) for i in range(200)], length(GOOD)]),
    "long head": (431, POST, [HOST, NPY, ("X-Long", "x" * 100_000), length(GOOD)]),
    "no HTTP": (400, "hello there, you", []),
}


@pytest.mark.parametrize("name", HEADS)
def test_bad_heads_are_refused(name):
    status, head, more = HEADS[name]
    with serve(Two()) as url:
        reply = exchange(url, head, GOOD, more)
        assert reply.startswith(f"HTTP/1.1 {status} ".encode()), reply[:200]
        assert exchange(url, POST, GOOD, [HOST, NPY, length(GOOD)]).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:5", "[::1]:9", "10.0.0.7", "gpu.lan"])
def test_names_of_the_server(host):
    with serve(Two(), hosts=["gpu.lan"]) as url:
        assert exchange(url, POST, GOOD, [("Host", host), NPY, length(GOOD)]).startswith(b"HTTP/1.1 200 ")


def test_request_that_never_ends():
    with serve(Two(), timeout=3) as url:
        port = int(url.split(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as slow, ThreadPoolExecutor() as other:
            slow.sendall(f"{POST}\r\nHost: 127.0.0.1\r\nContent-Type: application/x-npy\r\n".encode())
            slow.sendall(b"Content-Length: 1000\r\n\r\n")
            assert other.submit(as_model(url), torch.zeros(1, 1, 8, 8)).result().shape == (1, 8, 8)
            received = b""
            while part := slow.recv(1000):
                received += part
    assert received.startswith(b"HTTP/1.1 408 ")


def test_no_more_connections_than_places(monkeypatch):
    monkeypatch.setattr("misas.models.remote._Server.most_at_once", 2)
    with serve(Two()) as url:
        port = int(url.split(":")[2].partition("/")[0])
        waiting = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(2)]
        for _ in range(20):
            assert exchange(url, POST).startswith(b"HTTP/1.1 503 ")
        assert exchange(url, POST, bytes(20_000_000)).startswith(b"HTTP/1.1 503 ")
        for connection in waiting:
            connection.close()
        assert as_model(url, retries=3)(torch.zeros(1, 1, 8, 8)).shape == (1, 8, 8)


def test_nobody_is_left_behind():
    before = set(threading.enumerate())
    with serve(Two()) as url:
        idle = socket.create_connection(("127.0.0.1", int(url.split(":")[2].partition("/")[0])), timeout=60)
        as_model(url)(torch.zeros(1, 1, 8, 8))
    assert idle.recv(1) == b""
    idle.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert set(threading.enumerate()) <= before


def test_the_server_listens_to_this_computer_only():
    with serve(Two()) as url:
        assert url.startswith("http://127.0.0.1:")


@pytest.fixture
def answer():
    "A server that sends these very bytes to every request, and its URL"
    servers = []

    def start(*parts, pause=0.0):
        listening = socket.create_server(("127.0.0.1", 0))
        servers.append(listening)

        def run():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(1 << 20)
                        for part in parts:
                            connection.sendall(part)
                            time.sleep(pause)

        Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/predict"

    yield start
    for listening in servers:
        listening.close()


def ok(body, *heads, size=None):
    size = len(body) if size is None else size
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {size}", *heads, "", ""]).encode() + body


IMAGE = torch.zeros(1, 1, 8, 8)
REPLIES = {
    "bomb": (ok(gzip.compress(bytes(1 << 24)), "Content-Encoding: gzip"), "must not be compressed, got gzip"),
    "too large": (ok(bytes(200_000)), "must have at most 100000 bytes"),
    "truncated": (ok(b"\x93NUMPY", size=5000), "no response from"),
    "claims terabytes": (ok(lying((1, 1 << 20, 1 << 20))), "bytes must be"),
    "pickled": (ok(_to_npy(np.zeros((1, 8, 8))).replace(b"'<f8'", b"'|O' ")), "must be of numbers"),
    "text": (ok(_to_npy(np.full((1, 8, 8), "a"))), "must be of numbers"),
    "nan": (ok(_to_npy(np.full((1, 2, 8, 8), np.nan, np.float32))), "finite numbers, got NaN or infinite ones in 128"),
    "logits": (ok(_to_npy(np.full((1, 2, 8, 8), 7.0))), "must be from 0 to 1"),
    "one channel": (ok(_to_npy(np.zeros((1, 1, 8, 8)))), "probabilities of two or more labels"),
    "other batch": (ok(_to_npy(np.zeros((2, 2, 8, 8)))), "probabilities of two or more labels"),
    "floating labels": (ok(_to_npy(np.zeros((1, 8, 8)))), "must be integer labels"),
    "negative": (ok(_to_npy(np.full((1, 8, 8), -1))), "labels >= 0|0 to"),
    "unsigned": (ok(_to_npy(np.full((1, 8, 8), 2**64 - 1, np.uint64))), "labels >= 0|0 to"),
    "page": (ok(b"<html>"), "not a mask"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", "with 302"),
}


@pytest.mark.parametrize("name", REPLIES)
def test_bad_replies_are_errors(answer, name):
    reply, message = REPLIES[name]
    model = as_model(answer(reply), retries=0, timeout=60, max_bytes=100_000, name="far")
    with pytest.raises(ValueError, match=f"model 'far' failed.*({message})|prediction of model 'far'.*({message})"):
        model(IMAGE)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b'{"masks": 1e400}', b'{"masks": [[["a"]]]}', b'{"x": 1}'])
def test_bad_json_replies_are_errors(answer, body):
    with pytest.raises(ValueError, match="not a mask in the format json"):
        as_model(answer(ok(body)), format="json", retries=0)(IMAGE)


def test_reply_that_drips(answer):
    url = answer(ok(b"", size=1000), *[b"x"] * 100, pause=0.1)
    with pytest.raises(ValueError, match="no response.*did not arrive in time"):
        as_model(url, retries=0, timeout=1)(IMAGE)


def test_terminals_do_not_obey_a_server(answer):
    text = b"\x1b]0;owned\x07\x1b[31mno\x1b[0m\x08\xe2\x80\xaeevil\x9b2J"
    reply = b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n" % len(text) + text
    with pytest.raises(ValueError, match="responded with 403: no evil") as error:
        as_model(answer(reply), retries=0)(IMAGE)
    assert str(error.value).isprintable()


def test_other_schemes_are_refused():
    with pytest.raises(ValueError, match="url must be http://... or https://..., got 'file:///etc/passwd'"):
        RemoteModel("file:///etc/passwd")
