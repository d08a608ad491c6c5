"""Submit jobs to SLURM, execute them there and follow them."""
