"""Execution of jobs: local worker processes and SLURM."""
