"""What does judging add to sampling, beyond one evaluation of the target per step? The answer is a share of plain sampling.

python -m studies.judging
"""
