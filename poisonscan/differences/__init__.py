"""What is different between two versions of a model or a dataset."""
