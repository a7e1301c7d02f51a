"""Count what survives: runs that are stopped at random moments, wrong bits, full disks, folders that can only be read.

    python benchmarks/survival.py --stops 60 --bits 3000 --disks 20

Linux only; full disks and read-only folders need the right to mount. Each figure says of how many.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

os.environ |= dict(TQDM_DISABLE="1", OMP_NUM_THREADS="1")

from misas import evaluate, phantom, read_scores

RUN = """
import sys, time
from misas.all import *
def slow(image):
    time.sleep(.05)
    return image > .5
cases = [phantom((32, 32), seed=seed) for seed in range(6)]
values = dict(rotation=[0, 45, 90], brightness=[.5, 1, 2])
print("ready", flush=True)
scores = evaluate(slow, cases, list(values), values, store=sys.argv[1], n_jobs=int(sys.argv[2]), progress=False)
save_scores(scores, sys.argv[1] + ".csv")
"""
CASES = [phantom((32, 32), seed=seed) for seed in range(6)]
VALUES = dict(rotation=[0, 45, 90], brightness=[0.5, 1, 2])


def bright(image):
    return image > 0.5


def scored(**options):
    return evaluate(bright, options.pop("cases", CASES), list(VALUES), VALUES, progress=False, **options)


def parts(store: Path) -> list[str]:
    "Names of the results in a store, in the order in which they came; a line without an end was never finished"
    whole = [path.read_bytes().rpartition(b"\n")[0] for path in sorted(store.glob("*.jsonl"))]
    return [json.loads(line)[0] for text in whole for line in text.splitlines()]


def left_behind(*folders: Path) -> int:
    return sum(".part" in path.name for folder in folders for path in folder.rglob("*"))


def alive(mark: str) -> int:
    "Processes that were started with a mark in their environment"
    n = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            n += mark.encode() in path.read_bytes()
        except OSError:
            pass  # it has just ended
    return n


def seconds_of_a_run(n_jobs: int) -> float:
    "What it takes on this machine, from the start of the work to the end"
    command = [sys.executable, "-c", RUN, str(Path(tempfile.mkdtemp()) / "store"), str(n_jobs)]
    run = subprocess.Popen(command, stdout=-1)
    run.stdout.readline()
    start = time.time()
    run.wait()
    return time.time() - start


def stop_runs(n: int, chance: random.Random) -> Counter:
    "Runs that are stopped at random moments, each going on where the last one was"
    found: Counter = Counter()
    fresh = scored()
    folder = Path(tempfile.mkdtemp())
    store = folder / "0"
    longest = {n_jobs: seconds_of_a_run(n_jobs) for n_jobs in (1, 2)}
    while found["stopped"] < n:
        n_jobs = chance.choice([1, 2])
        mark = f"SURVIVAL={chance.random()}"
        name, value = mark.split("=")
        command = [sys.executable, "-c", RUN, str(store), str(n_jobs)]
        run = subprocess.Popen(command, stdout=-1, stderr=-3, text=True, env=os.environ | {name: value})
        run.stdout.readline()
        before = len(parts(store)) if store.exists() else 0
        kind = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        try:
            run.wait(chance.uniform(0, longest[n_jobs]))
        except subprocess.TimeoutExpired:
            run.send_signal(kind)
            run.wait(20)
        if run.returncode != 0:
            found["stopped"] += 1
            found[kind.name] += 1
            now = len(parts(store)) if store.exists() else 0
            found["parts lost"] += max(0, before - now)
            found["leftovers at once"] += left_behind(folder)
        deadline = time.time() + 10
        while alive(mark) and time.time() < deadline:
            time.sleep(0.2)
        found["processes after 10 s"] += alive(mark)
        found["runs with such processes"] += alive(mark) > 0
        found["slowest end in ms"] = max(found["slowest end in ms"], int(1000 * (time.time() - deadline + 10)))
        if run.returncode == 0:
            found["finished"] += 1
            found["wrong tables"] += not read_scores(f"{store}.csv").score.equals(fresh.score)
            found["leftovers after the last run"] += left_behind(store)
            store = folder / str(found["finished"])
    return found


def flip_bits(n: int, chance: random.Random) -> Counter:
    "One wrong bit in one part, and the run again"
    found: Counter = Counter()
    store = Path(tempfile.mkdtemp()) / "store"
    fresh = scored(cases=CASES[:1], store=store)
    for _ in range(n):
        (path,) = store.iterdir()
        good = path.read_bytes()
        bad = bytearray(good)
        # without the end of its last line, a file looks as if its run had been killed
        bad[chance.randrange(len(bad) - 1)] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                again = scored(cases=CASES[:1], store=store)
            except Exception as e:
                found[f"raw {type(e).__name__}"] += 1
                path.write_bytes(good)
                continue
        found["noticed, and named"] += any(path.name in str(w.message) for w in said)
        found["wrong tables"] += not again.equals(fresh)
        found["computed again"] += len(path.read_bytes()) > len(good)
        path.write_bytes(good)
    return found


def mounted(folder: Path, *options: str) -> None:
    subprocess.run(["mount", *options, str(folder)], check=True)


def fill_disks(n: int, chance: random.Random) -> Counter:
    "Runs on a disk that is too small, and again on one that is large enough; then one that can only be read"
    found: Counter = Counter()
    fresh = scored()
    for _ in range(n):
        disk = Path(tempfile.mkdtemp())
        mounted(disk, "-t", "tmpfs", "-o", f"size={4 * chance.randrange(1, 4)}k", "tmpfs")
        store = disk / "store"
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found["wrong tables"] += not scored(store=store).equals(fresh)
        found["disk was full, and said so"] += any("No space left" in str(w.message) for w in said)
        found["leftovers"] += left_behind(disk)
        kept = parts(store)
        mounted(disk, "-o", "remount,size=4m")
        found["wrong tables later"] += not scored(store=store).equals(fresh)
        found["parts lost"] += parts(store)[: len(kept)] != kept
        found["parts computed twice"] += len(parts(store)) - len(set(parts(store)))
        mounted(disk, "-o", "remount,ro")
        found["wrong tables from a read-only disk"] += not scored(store=store).equals(fresh)
        subprocess.run(["umount", disk], check=True)
    return found


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in dict(stops=60, bits=3000, disks=20, seed=0).items():
        words.add_argument(f"--{name}", type=int, default=default)
    wanted = words.parse_args()
    chance = random.Random(wanted.seed)
    for count, what in ((wanted.stops, stop_runs), (wanted.bits, flip_bits), (wanted.disks, fill_disks)):
        if count:
            print(f"{what.__name__}, {count}: {dict(what(count, chance))}", flush=True)


if __name__ == "__main__":
    main()
