"""Attacks on a copy of one's own clean data, to learn what a scan would see of them there."""
