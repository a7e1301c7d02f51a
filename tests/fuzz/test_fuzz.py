"""Whatever is handed over, an error says which argument is wrong

Each public function is called with one or two of its arguments replaced. It may work; otherwise misas itself must raise
a ValueError, TypeError or OSError that speaks of the argument. `python benchmarks/wrong_arguments.py` counts over many
more calls.
"""

import pytest
from fuzz.calls import calls, fault, write_files
from fuzz.hostile import values
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

GROUPS = 8
# of these, some wrong arguments still get an unclear error (about 1 of 150 calls of all functions together)
OPEN = set(
    """Case Elastic Relabelled Undersampling.__call__ auroc auroc_of_mask bootstrap_curves conforms confusion
    get_confusion get_series global_sensitivity grid load_case load_cine measure normalised_area nsd phantom
    plot_ranked prominence rank_cases reliability same_value save_image suggest_preparation summarise
    surface_distances threshold_counts threshold_scores undo worst_case worst_score""".split()
)
# the same examples in each run; one that fails is shown as it is
SETTINGS = settings(
    max_examples=300,
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


@st.composite
def mistakes(draw, names: list):
    "A call, and what replaces one or two of its arguments"
    call = calls()[draw(st.sampled_from(names))]
    victims = draw(st.lists(st.sampled_from(call.open), min_size=1, max_size=2, unique=True))
    return call, {name: draw(values()) for name in victims}


@pytest.mark.parametrize("group", range(GROUPS))
def test_an_error_is_clear(group):
    names = sorted(name for name, call in calls().items() if call.open and name not in OPEN)[group::GROUPS]

    @settings(SETTINGS)
    @given(mistakes(names))
    def check(mistake):
        call, replaced = mistake
        wrong = fault(call, replaced)
        assert wrong is None, f"{call.name}({replaced!r}): {wrong}"

    check()
