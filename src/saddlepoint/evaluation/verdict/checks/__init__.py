"""The checks, one idea each: a paragraph, a figure, a threshold, and what to do."""
