"""Datasets: files of rows, grouped, with roles, labels, digests and vectors."""
