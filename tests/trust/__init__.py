"""What comes from outside is not trusted: none of it runs, no name leads astray, nothing is asked of a network."""
