"""Losses of knowledge distillation."""
