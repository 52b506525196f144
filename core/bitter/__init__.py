"""The Bitter Lesson, measured: what is built into a model beside what it learns from more data and more computation."""
