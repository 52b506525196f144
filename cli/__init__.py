"""The command `lab`: what a person types and sees. No science here, and no torch, pandas or matplotlib at import.

In reading order:

    app               the command and its sub-commands, one file for each:
    home, list, claims, show, params, runs, env, validate, new, run, compare, report, export,
    verify
    completion        what the shell offers at Tab
    options           options that several of them take
    overviews         the experiments that `lab`, `lab list` and `lab claims` show
    experiment_file   the file of the experiment that a command names
    run_options, perform, resume   a run from question to exit code; `compare` makes a quick one by it
    live_view, training_view       the view while a run works
    run_results       the results of a run: tables, plots, page, exit code, JSON
    last_screen       the last screen of a run
    side_by_side      `lab compare --runs A B`
    tables            tables of variants and claims for the terminal
    text_tables       the same cells as Markdown and LaTeX
    screen            consoles, tables, colours, durations
    templates/        what `lab new` writes
"""
