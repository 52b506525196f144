"""A small decoder-only transformer: vocabulary, model, generation, training."""
