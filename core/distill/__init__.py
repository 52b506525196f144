"""Knowledge distillation: what a small model can learn from the outputs of a large one, each part usable alone."""
