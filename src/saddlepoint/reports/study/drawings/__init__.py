"""The drawings of the nine-defences report: how its defences work, from real weights and small runs."""
