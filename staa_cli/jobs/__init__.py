"""Many videos: inputs to jobs, and jobs to outcomes."""
