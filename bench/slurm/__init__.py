"""Jobs on a SLURM cluster: submission, execution, status."""
