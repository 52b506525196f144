"""Plots and the one-file report.

`plot.draw` makes any figure of an experiment, `page.write_report` the HTML and Markdown over several runs. Nothing
here measures or judges: estimates come from `analysis.comparison`, words such as "holds" from `analysis.judge`.

In reading order:

    table      the comparison as tables, for the report and the terminal
    words      the meaning of each verdict and term, and how figures are quoted
    series     the lines of one plot
    curves     those of trainings, along steps or along what they cost
    plane      two axes, the difference of two variants at each point, and where they are equal
    plot       draws a plot and writes its files
    forks      plots are drawn on all cores
    style, layout, marks, ticks   fonts and colours; around the axes; inside the axes; scales
    claimed    the figures that sources claim, in a plot
    predicted  what a file predicts, in a plot
    spots      where each value stands in a plot, and its words
    citation   the finding in a sentence, and BibTeX
    section    the section of one experiment, as data
    answers    one problem as each variant answers it
    cuts       a text as two tokenizers cut it
    trees      a search tree at growing budgets
    heat_maps  tables of numbers in colours
    page       the report in HTML and Markdown; templates: report.html, report.md, with report.css and report.js
    svg        a plot inside an HTML page
    privacy    removes what identifies the user
"""
