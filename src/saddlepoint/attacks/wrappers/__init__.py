"""Attacks made of other attacks: restarts, searches over budgets, transfer, portfolios, foreign ones."""
