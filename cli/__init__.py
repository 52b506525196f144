"""The command `lab`: what a person types and sees. No science here, and no torch, pandas or matplotlib at import.

In reading order:

    app               the command and its sub-commands, one file for each:
    home, list, claims, show, params, runs, env, validate, new, run, compare, explain, report, export, verify
    completion        what the shell offers at Tab
    options           options that several of them take
    overviews         the experiments that `lab`, `lab list` and `lab claims` show
    experiment_file   the file of the experiment that a command names
    run_options, perform, resume   a run from question to exit code
    until, several    `lab run --until settled`; `lab run A B C`
    remove_runs       `lab runs rm`
    optional_value, time_spans     `--resume [ID]`; 90s, 20m, 30d
    live_view, timing_view, training_view   the view while a run works
    run_results       the results of a run: tables, plots, page, exit code, JSON
    runs_to_show      the run that a reading command is about
    last_screen       one screen of a run: what it ends with, what `lab compare` shows again
    headline, claim_lines   its table and its claims
    hints             commands that open the run which a screen is about
    pager             what is longer than the terminal
    compare_runs      `lab compare --runs A B`
    tables            tables of variants for the terminal
    text_tables       the same cells as Markdown and LaTeX
    screen            consoles, tables, colours, durations
    templates/        what `lab new` writes
"""
