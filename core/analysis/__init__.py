"""Statistics, comparison and verdicts: tables in, tables out. Knows no files and no screen."""
