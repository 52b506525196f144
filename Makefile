.PHONY: types test check smoke

types:  # mypy and editors see the folders as lab.*
	@mkdir -p .types/lab && ln -sfn ../../cli .types/lab/cli && ln -sfn ../../core .types/lab/core

test:
	pytest

check: types
	ruff check . && ruff format --check . && mypy

smoke:  # a first answer, in seconds
	cd tests && pytest -q -n 0 test_packaging.py \
		core/analysis/test_verdicts.py core/analysis/test_statistics.py core/analysis/test_summary.py core/analysis/test_control.py \
		core/softmax/test_reference.py core/attention/test_reference_and_traffic.py core/grpo/test_advantages.py core/grpo/test_kl.py
