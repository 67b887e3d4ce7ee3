"""A dataset without the rows that a scan found."""
