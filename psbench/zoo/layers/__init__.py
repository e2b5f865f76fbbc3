"""Parts that several systems share, each in one place."""
