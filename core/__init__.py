"""The laboratory: experiments in, verdicts out; and the subjects, each usable alone."""
