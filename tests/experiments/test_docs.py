"""The page and the example say what the code does."""

from pathlib import Path

from allotrope.experiments.definition import BUILT_IN_METRICS, Experiment, load_experiment
from allotrope.experiments.offline.evaluator import JUDGE
from allotrope.experiments.offline.scorers import factories

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")


def test_the_page_names_all_scorers_metrics_and_fields() -> None:
    for kind in (*factories(), JUDGE):
        assert f"| `{kind}` |" in PAGE
    for name in (*BUILT_IN_METRICS, *(set(Experiment.model_fields) - {"name", "description"})):
        assert f"`{name}`" in PAGE, name


def test_the_example_is_a_good_file_and_its_report_is_of_it() -> None:
    experiment = load_experiment(ROOT / "docs" / "examples" / "gsm8k-temperature.yaml")
    report = ROOT / "docs" / "examples" / "gsm8k-temperature.md"
    text = report.read_text(encoding="utf-8")
    assert text.startswith(f"# Experiment {experiment.name}")
    for variant in experiment.variants:
        assert f"| {variant.name}" in text
