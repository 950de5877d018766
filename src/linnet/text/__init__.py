"""Text before a model sees it: normalising, duplicates, personal data."""
