"""How clear are the errors? Counts over many calls with wrong arguments

    python benchmarks/wrong_arguments.py [CALLS] [SEED]

prints how many calls worked, how many were refused clearly, and the others one by one, the first of each kind.
"""

import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
os.environ |= dict(TQDM_DISABLE="1", MPLBACKEND="Agg", MISAS_FUZZ="1")
warnings.simplefilter("ignore")

from fuzz.calls import calls, fault, write_files  # noqa: E402
from fuzz.hostile import fixed  # noqa: E402


def campaign(n: int, seed: int) -> tuple[Counter, dict]:
    "Counts, and the first fault of each function and argument"
    rng = random.Random(seed)
    table = [call for call in calls().values() if call.open]
    hostile = fixed()
    counts: Counter = Counter()
    first: dict = {}
    for i in range(n):
        call = table[i % len(table)]
        victims = rng.sample(call.open, min(len(call.open), rng.choice((1, 1, 2))))
        replaced = {name: rng.choice(hostile) for name in victims}
        wrong = fault(call, replaced)
        counts["unclear" if wrong else "clear or works"] += 1
        if wrong:
            first.setdefault((call.name, *victims), (replaced, wrong))
    return counts, first


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    # what asks for endless memory is told so, instead of taking the machine down
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, resource.RLIM_INFINITY))
    os.chdir(tempfile.mkdtemp())
    write_files()
    start = time.perf_counter()
    counts, first = campaign(n, seed)
    for (name, *_), (replaced, wrong) in sorted(first.items()):
        values = ", ".join(f"{k}={str(v)[:60]!r}" for k, v in replaced.items())
        print(f"{name}({values}): {' '.join(wrong.split())[:220]}")
    print(f"\n{n} calls in {time.perf_counter() - start:.0f} s:", *(f"{k} {v}," for k, v in sorted(counts.items())))
    print(f"{len(first)} places (function and arguments) with an unclear error")


if __name__ == "__main__":
    main()
