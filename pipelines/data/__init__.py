"""Datasets, tables and images."""
