"""What a call of Snakemake says in the terminal of the runs that it makes."""
