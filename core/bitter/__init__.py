"""The Bitter Lesson (Sutton, 2019), measured: what is built in against what is computed, each where it can cross; one package a subject."""
