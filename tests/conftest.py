import os
import signal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

# several processes that each use all cores wait for each other most of the time
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # plugins of pytest import numpy before this is read; threads of its OpenBLAS can wait for one another forever
    threadpool_limits(1, user_api="blas")
# no progress bars and no windows, here and in the processes that tests start
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# a shell has its background jobs ignore Ctrl-C, and the processes that tests start would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# TensorFlow and PyTorch's compiler bring an LLVM each: if TensorFlow is there first, the other one ends the process
if find_spec("triton"):
    import_module("triton")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    "The folder of real images: `MISAS_TEST_DATA`, or `../shared/data` beside the repository"
    folder = Path(os.environ.get("MISAS_TEST_DATA") or ROOT.parent / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip("no real images here: set MISAS_TEST_DATA to the folder that holds them")
    return folder
