"""What a user would run instead: the scripts of the libraries' own documentation."""
