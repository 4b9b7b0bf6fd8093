"""The paper's evaluation for any running WebUI: `python -m lib_pia.evaluation run|score|study|tally`.

docs/EVALUATION.md shows it step by step.
"""
