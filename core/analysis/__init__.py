"""Statistics, comparison and verdicts: tables in, tables out. Knows no files and no screen.

In reading order:

    tables        a figure by variant, point and metric
    gaps          metrics computed from three variants
    statistics    confidence intervals from replicates
    estimates     the interval of a figure, by its kind: counted, timed, trained
    comparison    every variant beside the baseline of its tier
    control       the A/A control of each tier
    alarms        notes about figures that show an experiment to be broken
    measures      the measure of a claim, with its interval
    needs         what the variants of a claim must reach first
    regions       where an interval lies relative to the expected region
    looks         when a claim may be judged, and at which level
    two_runs      what changed from one run to another
    conditions    how far a run is, and what disturbed its clock
    setting       the setting of the source beside that of the run
    settle        what would settle a claim that is not settled
    judge         the rule: from a claim and a run to a verdict
    verdicts      verdicts, their table and counts
    replicates    the figures that a verdict was made of
    summary       fills the summary of an experiment
    digits        formats numbers
"""
