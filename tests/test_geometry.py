"Movements of a whole volume need little more memory than the volume"
import subprocess, sys

import pytest

MEASURE = """
import torch
from misas.cases import Case
from misas.geometry import *

def status(key): return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))

def case(*shape): return Case(torch.rand(1, *shape), truth=torch.zeros(shape, dtype=torch.int32), spacing=(1.2, 1, 1))

volume, transform = case(80, 256, 256), {transform}
transform(case(8, 9, 9), {small})
before = status("VmRSS")
transform(volume, {value})
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("transform, value, small", [("Rotate3D(axis=(1, 2, .5))", 17, 17), ("Elastic()", 5, .5), ("Translate()", 5, 5)])
def test_memory(transform, value, small):
    code = MEASURE.format(transform=transform, value=value, small=small)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    # 20 MB each: the volume, its truth, and the results of both; 260 MB before volumes were resampled slab by slab
    assert float(done.stdout) < 180
