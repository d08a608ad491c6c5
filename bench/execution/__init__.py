"""Execute a job, and run jobs in worker processes on this machine."""
