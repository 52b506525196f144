"""From a YAML file to an `Experiment`: schema, errors with line and nearest key, overrides, discovery."""
