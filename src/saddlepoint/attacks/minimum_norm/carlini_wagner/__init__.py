"""Carlini and Wagner's attacks in L2, L0 and Linf: one descent, three penalties."""
