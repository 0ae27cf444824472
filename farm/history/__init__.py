"""The history of builds: a submitter's bursts of jobs, by node and by file, in SQLite."""
