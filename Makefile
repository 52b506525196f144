.PHONY: types test check

types:  # mypy and editors see the folders as lab.*
	@mkdir -p .types/lab && ln -sfn ../../cli .types/lab/cli && ln -sfn ../../core .types/lab/core

test:
	pytest

check: types
	ruff check . && ruff format --check . && mypy
