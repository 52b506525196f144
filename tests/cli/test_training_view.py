"""Sparklines."""

from lab.cli.training_view import WIDTH, sparkline


def test_a_sparkline_has_its_first_and_last_value_and_the_way_between():
    assert sparkline([(0, 0.22), (10, 0.4), (20, 0.62)]) == "0.22 ▁▄█ 0.62"
    assert sparkline([]) == "" and sparkline([(0, 0.5)]) == "0.5"
    assert sparkline([(0, 3.0), (1, 3.0)]) == "3 ▁▁ 3"
    long = sparkline([(step, float(step)) for step in range(100)])
    assert long.startswith("0 ▁") and long.endswith("█ 99") and len(long.split()[1]) == WIDTH
