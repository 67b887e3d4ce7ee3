"""Puts suspected backdoors to a test: does a model trained on the data follow the trigger?"""
