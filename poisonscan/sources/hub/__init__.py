"""Repositories of the Hugging Face Hub: what they hold at one commit, fetched and verified."""
