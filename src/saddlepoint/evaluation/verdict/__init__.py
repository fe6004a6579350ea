"""The verdict: can the number of an evaluation be trusted?"""
