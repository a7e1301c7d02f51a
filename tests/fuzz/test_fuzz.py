"""Whatever is handed over, an error says which argument is wrong

Each public function is called with one or two of its arguments replaced. It may work; otherwise misas itself must raise
a ValueError, TypeError or OSError that speaks of the argument. `python benchmarks/wrong_arguments.py` counts over many
more calls.
"""

import pytest
from fuzz.calls import calls, fault, without_call, write_files
from fuzz.hostile import values
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

GROUPS = 8
# the same examples in each run; one that fails is shown as it is
SETTINGS = settings(
    max_examples=900,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files()


def test_every_public_function_has_a_call():
    assert not without_call(), "give them a call in tests/fuzz/calls.py, or their names to its set WAITING"


@st.composite
def mistakes(draw, names: list):
    "A call, and what replaces one or two of its arguments"
    call = calls()[draw(st.sampled_from(names))]
    victims = draw(st.lists(st.sampled_from(call.open), min_size=1, max_size=2, unique=True))
    return call, {name: draw(values()) for name in victims}


@pytest.mark.parametrize("group", range(GROUPS))
def test_an_error_is_clear(group):
    names = sorted(name for name, call in calls().items() if call.open)[group::GROUPS]

    @settings(SETTINGS)
    @given(mistakes(names))
    def check(mistake):
        call, replaced = mistake
        wrong = fault(call, replaced)
        assert wrong is None, f"{call.name}({replaced!r}): {wrong}"

    check()
