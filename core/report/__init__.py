"""Plots and the one-file report.

`plot.draw` makes any figure of an experiment, `page.write_report` the HTML and Markdown over several runs. Nothing
here measures or judges: estimates come from `analysis.comparison`, words such as "holds" from `analysis.verdicts`.
"""
