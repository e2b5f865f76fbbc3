"""Leaderboards: numbers that anybody can compute again from the predictions they were made of."""
