"""The console command: argument parsing and printing, nothing else."""
