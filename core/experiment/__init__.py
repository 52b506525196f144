"""From a YAML file to an `Experiment`: schema, errors with line and nearest key, overrides, discovery.

In reading order:

    load            from a file and a request to a checked experiment: calls all others
    discovery       finds the file
    document, plain_yaml   YAML as data, with the position of every key
    overview        the part that lists show, without the schema
    schema          every key, its type and its meaning
    shape           data as an `Experiment`, mistakes of shape
    pruning         the rest of a file with mistakes of shape
    subject         finds what `trial:` names, and functions in a user's file
    absolute_paths  finds a user's files in parameters, makes their paths absolute
    checks          mistakes between keys
    possible        values that a measure can take
    warnings        claims that say less than they seem to
    formula, predictions   closed forms, and what a file predicts with them
    shade           the tinted stretch of a plot
    summary         parses the sentence with figures in braces
    request, overrides   presets, -s, --add, --variants
    own_variants    variants that the user added
    mistakes        a mistake and its position
"""
