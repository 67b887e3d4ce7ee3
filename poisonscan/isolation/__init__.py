"""Files are read in processes of their own, which can do nothing else."""
