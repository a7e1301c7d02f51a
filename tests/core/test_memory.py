"Freed memory is kept in the process while a block lasts, and given back afterwards"

import resource
import sys
from threading import Thread

import pytest
import torch

from misas.core import memory
from misas.core.memory import _glibc, reused_memory

needs_glibc = pytest.mark.skipif(sys.platform != "linux" or not _glibc(), reason="needs glibc with its own settings")


def fill(n=20):
    for _ in range(n):
        torch.empty(10_000_000).fill_(1)


def page_faults(n=20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    fill(n)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    "Bytes of memory that the process holds"
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Calls:
    "glibc, with a note of what is set; an older one takes thresholds up to 32 MiB only"

    def __init__(self, largest=2**31):
        self.library = _glibc()
        self.largest = largest
        self.settings = {}

    def mallopt(self, name, value):
        if name == memory._M_MMAP_THRESHOLD and value > self.largest:
            return 0
        self.settings[name] = value
        return self.library.mallopt(name, value)

    def malloc_trim(self, size):
        return self.library.malloc_trim(size)


def check_that_memory_is_reused():
    outside = page_faults()
    before = resident()
    if outside < 1000:
        pytest.skip("large pages cost hardly any faults, and some systems do not count them")
    with reused_memory():
        fill(10)
        inside = page_faults()
        with reused_memory():
            fill(1)
        still_inside = page_faults()
    assert resident() < before + 40e6  # given back
    assert inside < outside / 10
    assert still_inside < outside / 10


@needs_glibc
def test_memory_is_reused_and_given_back():
    check_that_memory_is_reused()


@needs_glibc
def test_an_older_glibc_that_refuses_to_keep_large_blocks(monkeypatch):
    older = Calls(largest=2**25)
    monkeypatch.setattr(memory, "_glibc", lambda: older)
    check_that_memory_is_reused()


@needs_glibc
def test_settings_are_the_documented_ones_afterwards(monkeypatch):
    calls = Calls()
    monkeypatch.setattr(memory, "_glibc", lambda: calls)
    with reused_memory():
        assert calls.settings[memory._M_MMAP_THRESHOLD] == 2**30
    assert calls.settings == {
        memory._M_MMAP_MAX: 65536,
        memory._M_MMAP_THRESHOLD: memory._MMAP_THRESHOLD_MAX,
        memory._M_TRIM_THRESHOLD: 2 * memory._MMAP_THRESHOLD_MAX,
    }


def test_an_error_restores_the_settings():
    with pytest.raises(KeyError), reused_memory():
        raise KeyError
    assert memory._open_blocks == 0


def test_blocks_in_several_threads():
    def work():
        for _ in range(50):
            with reused_memory(), reused_memory():
                torch.empty(1000).fill_(1)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory._open_blocks == 0


@pytest.mark.parametrize(
    "name, value", [("MALLOC_TRIM_THRESHOLD_", "1000"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1000")]
)
def test_settings_of_the_environment_are_not_touched(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert memory._glibc.__wrapped__() is None


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    with reused_memory():
        assert memory._open_blocks == 0
